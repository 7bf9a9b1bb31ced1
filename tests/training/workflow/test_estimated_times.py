"""Where the estimated time of a run comes from: its data, this machine, and an earlier run like it."""

import json
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from annotate.models import Project, Snapshot
from annotate.workflow import snapshots
from tests.training.planted import row, write_rows
from tests.training.small_model import small_model
from tests.training.views.conftest import complete
from training.models import Artifact, Run
from training.recipes.estimate import Speed
from training.workflow import device, estimates
from training.workflow.estimate_words import assumptions, speed_words
from training.workflow.estimated_times import data_of, earlier_runs, kept_from, speed_for
from training.workflow.probes import import_probes

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("speed_is_known")]
MEASURED = device.measured_speed


@pytest.fixture
def model(project: Project, tmp_path: Path) -> Artifact:
    return small_model(project, tmp_path)


@pytest.mark.parametrize(("where", "kind"), [("cpu", "cpu"), ("NVIDIA H200", "gpu")])
def test_the_same_run_again_takes_what_it_took(snapshot: Snapshot, model: Artifact, where: str, kind: str) -> None:
    """Training and all the rest of it, also on a device of which nothing else is known."""
    machine = device.machine(kind, 80 * 10**9)
    run = finished(model, snapshot, {"adapter": "lora"}, device=where, seconds=50.0)
    told = estimates.asked_of("reward", model, {"adapter": "lora"}, snapshot=snapshot, machine=machine)
    assert told.question.speed.source == "earlier run" and told.question.speed.told == str(run)
    assert told.chosen.durations.training == pytest.approx(50) and told.chosen.seconds == pytest.approx(80)
    assert "in proportion to the operations" in speed_words(told.question)
    twice = estimates.asked_of("reward", model, {"epochs": 2}, snapshot=snapshot, machine=machine)
    assert twice.chosen.durations.training == pytest.approx(100) and twice.chosen.seconds == pytest.approx(130)


@pytest.mark.parametrize(("recipe", "grouped"), [("dpo", False), ("reward", True), ("ppo", False)])
def test_data_that_was_not_on_this_machine_is_looked_for_again(
    snapshot: Snapshot, model: Artifact, recipe: str, grouped: bool
) -> None:
    """Storage may be mounted while the web process runs."""
    folder = Path(snapshot.folder)
    away = folder.rename(folder.with_name("away"))
    assert data_of(recipe, model, snapshot, None, grouped=grouped).tokens == 0
    away.rename(folder)
    found = data_of(recipe, model, snapshot, None, grouped=grouped)
    assert found.tokens > 0 and found.examples > 0


def speed_of(model: Artifact, recipe: str, adapter: str, where: str = "cpu") -> Speed:
    return speed_for(recipe, {"adapter": adapter}, device.machine(where, 1), earlier_runs(model))


def test_a_run_with_the_same_adapter_is_asked_first_and_one_elsewhere_not_at_all(
    snapshot: Snapshot, model: Artifact
) -> None:
    like_it, other = (finished(model, snapshot, {"adapter": name}, seconds=50.0) for name in ("lora", "full"))
    for adapter, earlier in (("lora", like_it), ("full", other), ("houlsby", other)):
        assert speed_of(model, "reward", adapter).told == str(earlier)
    for recipe, adapter, where in (("dpo", "lora", "cpu"), ("reward", "lora", "gpu"), ("reward", "head", "cpu")):
        assert not speed_of(model, recipe, adapter, where).told


@pytest.mark.parametrize(
    ("changed", "manifest"), [({"attempt": 2}, {}), ({}, {"processes": 2}), ({}, {"seconds": None})]
)
def test_a_run_that_says_nothing_of_the_time_is_passed_over(
    snapshot: Snapshot, model: Artifact, changed: dict[str, Any], manifest: dict[str, Any]
) -> None:
    """One that was interrupted, one of several processes, one of an older version; that before them is taken."""
    good = finished(model, snapshot, {"adapter": "lora"}, seconds=50.0)
    odd = finished(model, snapshot, {"adapter": "lora"}, **{"seconds": 50.0, **manifest})
    Run.objects.filter(pk=odd.pk).update(**changed)
    assert speed_of(model, "reward", "lora").told == str(good)


def test_a_run_whose_reward_model_is_refused_today_is_passed_over(snapshot: Snapshot, model: Artifact) -> None:
    scorer = finished(model, snapshot, {"adapter": "lora"}, seconds=50.0)
    run = finished(model, snapshot, {"adapter": "lora"}, recipe="ppo", seconds=50.0)
    Run.objects.filter(pk=run.pk).update(reward_model=scorer.artifact)
    assert speed_of(model, "ppo", "lora").told == str(run)
    Run.objects.filter(pk=scorer.pk).update(config={"adapter": "lora", "rank": 0})
    assert speed_of(model, "ppo", "lora") == device.speed("cpu")


def test_a_head_on_features_says_nothing_of_other_methods_nor_they_of_it(snapshot: Snapshot, model: Artifact) -> None:
    """On a GPU, where nothing else is known, they have no time then."""
    machine = device.machine("gpu", 80 * 10**9)
    finished(model, snapshot, {"adapter": "head"}, device="NVIDIA H200", seconds=0.1)
    told = estimates.asked_of("reward", model, {"adapter": "head"}, snapshot=snapshot, machine=machine)
    assert {one.adapter for one in told.methods if one.seconds is not None} == {"head"}
    finished(model, snapshot, {"adapter": "lora"}, device="NVIDIA H200", seconds=50.0)
    told = estimates.asked_of("reward", model, {"adapter": "lora"}, snapshot=snapshot, machine=machine)
    assert {one.adapter for one in told.methods if one.seconds is None and not one.refused} == {"head"}


def test_what_an_earlier_run_has_kept_is_not_read_again(snapshot: Snapshot, model: Artifact) -> None:
    def kept(adapter: str = "lora", where: str = "cpu") -> set[str]:
        return set(kept_from(earlier_runs(model), {"adapter": adapter}, snapshot, device.machine(where, 1)))

    def reading(recipe: str, adapter: str) -> float:
        told = estimates.asked_of(recipe, model, {}, snapshot=snapshot, machine=device.machine("cpu", 1))
        return next(one.durations.parts["reading"] for one in told.methods if one.adapter == adapter)

    assert kept() == set()
    finished(model, snapshot, {"adapter": "lora"})
    assert kept() == set() and reading("reward", "head") > 0
    finished(model, snapshot, {"adapter": "head"})
    assert kept() == {"features"} and reading("reward", "head") == 0 and reading("dpo", "lora") > 0
    finished(model, snapshot, {"adapter": "full"}, recipe="kto")
    assert kept() == {"features", "reference", "probes"} and reading("dpo", "lora") == 0
    assert kept("qlora") == kept(where="gpu") == set()


def test_the_data_is_counted_as_it_is_read(project: Project, snapshot: Snapshot, model: Artifact) -> None:
    """Pairs with their prompt twice; for a recipe that draws, each prompt once, and held out what it does not learn."""
    for split, asked in (("train", "aab"), ("test", "bcc")):
        rows = [row(f"{split}{n}", 400 * letter, "yes", "no") for n, letter in enumerate(asked)]
        write_rows(snapshots.parquet_path(snapshot, split), rows)
    pairs, prompts = (data_of(recipe, model, snapshot, None) for recipe in ("dpo", "ppo"))
    assert (pairs.examples, pairs.held_out) == (snapshot.counts["train"], snapshot.counts["test"])
    assert (prompts.examples, prompts.held_out) == (2, 1)
    assert pairs.tokens == pytest.approx(2 * pairs.prompt + 5 / 4) and prompts.tokens == pairs.prompt == 100 + 30
    assert 2000 < pairs.probed < 20_000
    more = json.dumps({"question": "x" * 400, "choices": ["a", "b"], "answer": 0})
    import_probes(project=project, name="more", lines=[f"{more}\n"])
    assert data_of("dpo", model, snapshot, None).probed > pairs.probed + 100
    assert data_of("reward", model, snapshot, None).probed == 0
    assert data_of("dpo", model, None, None).examples == 0
    assert (pairs.items, data_of("kto", model, snapshot, None).items) == (1, 2)


def test_all_pairs_of_a_prompt_are_one_example_with_as_many_responses_as_it_has(
    snapshot: Snapshot, model: Artifact
) -> None:
    """One prompt has three responses in three pairs, the other two in one."""
    sides = [("a", "one", "two"), ("a", "two", "six"), ("a", "one", "six"), ("b", "one", "two")]
    rows = [row(f"r{n}", 400 * letter, chosen, rejected) for n, (letter, chosen, rejected) in enumerate(sides)]
    for split in ("train", "test"):
        write_rows(snapshots.parquet_path(snapshot, split), rows)
    plain, grouped = (data_of("reward", model, snapshot, None, grouped=grouped) for grouped in (False, True))
    assert (plain.responses, grouped.responses, grouped.examples, grouped.held_out) == (0, 3, 2, 2)
    assert grouped.tokens == pytest.approx(2.5 * (130 + 3 / 4)) and grouped.prompt == pytest.approx(1.5 * 130)
    asked = {"snapshot": snapshot, "machine": device.machine("gpu", 80 * 10**9, 1)}
    pairs, groups = (
        estimates.asked_of("reward", model, {"group_by_prompt": together, "batch_size": 4}, **asked)
        for together in (False, True)
    )
    assert [one.question.work(one.chosen.config).rows for one in (pairs, groups)] == [8, 12]
    assert groups.chosen.memory.parts["activations"] > 1.3 * pairs.chosen.memory.parts["activations"]
    assert "is not known; two are taken" not in assumptions(groups)


def test_a_table_costs_few_queries_however_many_runs_there_are(
    snapshot: Snapshot, model: Artifact, django_assert_max_num_queries: Any
) -> None:
    for _number in range(8):
        finished(model, snapshot, {"adapter": "lora"}, seconds=50.0)
    model.refresh_from_db()
    with django_assert_max_num_queries(10):
        estimates.asked_of("reward", model, {}, snapshot=snapshot, machine=device.machine("cpu", 1))


def finished(
    model: Artifact, snapshot: Snapshot, config: dict[str, Any], recipe: str = "reward", **manifest: Any
) -> Run:
    """In 80 seconds, at one go."""
    made = {"name": f"run {Run.objects.count()}", "recipe": recipe, "config": config}
    run = Run.objects.create(project=model.project, snapshot=snapshot, model=model, **made)
    product = complete(run, {})
    product.manifest |= manifest
    product.save()
    Run.objects.filter(pk=run.pk).update(worked=timedelta(seconds=80))
    return run


def test_a_busy_machine_is_measured_again_later_and_the_best_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now, found = [0.0], [{}, {"operations": 5.0, "bytes": 4.0}, {"operations": 9.0, "bytes": 3.0}]
    monkeypatch.setattr(device, "_kept", device._Kept())
    monkeypatch.setattr(device, "_measure", lambda: found.pop(0))
    monkeypatch.setattr(device, "time", SimpleNamespace(monotonic=lambda: now[0]))
    load = [(1.9, 1.0, 1.0), (1.9, 1.0, 1.0), (0.1, 1.0, 1.0)]
    monkeypatch.setattr(device.os, "getloadavg", lambda: load.pop(0))
    assert MEASURED() == {}  # it could not be measured
    assert MEASURED() == MEASURED() == {"operations": 5.0, "bytes": 4.0}
    now[0] += device.AGAIN
    assert MEASURED() == {"operations": 9.0, "bytes": 4.0}
    now[0] += device.AGAIN
    assert MEASURED() == {"operations": 9.0, "bytes": 4.0} and not found


def test_this_machine_is_measured_in_a_process_of_its_own() -> None:
    found = MEASURED()
    assert found["operations"] > 1e8 and found["bytes"] > 1e7
