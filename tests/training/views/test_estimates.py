"""The table of what every adapter method would take, beside the forms that start runs and rounds."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from annotate.models import Project, Snapshot
from annotate.workflow import snapshots
from tests.training.fixture_model import build_fixture_model
from tests.training.gguf_file import write_gguf
from tests.training.planted import row, write_rows
from tests.training.views.conftest import complete
from tests.training.views.test_forms import sent_back
from training.models import Artifact, Round, Run, Task
from training.recipes.adapters import METHODS
from training.recipes.estimate import Speed, read_architecture
from training.workflow import device, estimates
from training.workflow.estimate_words import speed_words
from training.workflow.estimated_times import data_of, earlier_runs, kept_from, speed_for
from training.workflow.probes import import_probes

pytestmark = pytest.mark.django_db
MEASURED = device.measured_speed
RUNS, ROUNDS = "/p/garden/runs/new/", "/p/garden/rounds/new/"
SIZES: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}
HTMX = {"HTTP_HX_REQUEST": "true", "HTTP_HX_TARGET": "estimate"}


@pytest.fixture(autouse=True)
def speed_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring takes seconds, and its result is another every time."""
    monkeypatch.setattr(device, "measured_speed", lambda: {"operations": 2e11, "bytes": 1e10})


@pytest.fixture
def model(project: Project, tmp_path: Path) -> Artifact:
    (tmp_path / "config.json").write_text(json.dumps(SIZES))
    return Artifact.objects.create(project=project, name="small", location=str(tmp_path))


def ask(client: Client, model: Artifact, snapshot: Snapshot, htmx: bool = True, **changed: Any) -> Any:
    """The form of a DPO run as it comes, with some of it changed, sent to be estimated."""
    sent = {"estimate": "1", "model": model.pk, "snapshot": snapshot.pk, "seed": 1, **sent_back("dpo"), **changed}
    return client.post(f"{RUNS}?recipe=dpo", sent, **(HTMX if htmx else {}))


def ask_for_a_round(client: Client, model: Artifact, snapshot: Snapshot, policy: str, **changed: str) -> Any:
    sent = {"estimate": "1", "base_policy": model.pk, "snapshot": snapshot.pk, "fresh_prompts": 3, "seed": 1}
    stages = {**sent_back("reward"), **sent_back(policy), **sent_back("sample")}
    return client.post(ROUNDS, {**sent, "policy": policy, **stages, **changed}, **HTMX)


def test_every_method_is_a_row_and_the_chosen_one_is_marked(
    as_lead: Client, snapshot: Snapshot, model: Artifact
) -> None:
    told = ask(as_lead, model, snapshot, **{"dpo-adapter": "ia3"})
    [panel] = told.context["panels"]
    assert [one.adapter for one in panel.answer.methods] == [m for m in METHODS if m != "head"]
    page = told.content.decode()
    assert page.count('aria-current="true"') == 1
    assert "57,600" in page  # what IA3 trains of this model
    assert "134,515,008" in page
    assert "<html" not in page


def test_no_run_is_started_by_it(as_lead: Client, snapshot: Snapshot, model: Artifact) -> None:
    whole = ask(as_lead, model, snapshot, htmx=False)
    ask_for_a_round(as_lead, model, snapshot, "dpo")
    assert "<html" in whole.content.decode()  # without a script the page comes back with the table in it
    assert whole.context["panels"][0].answer is not None
    assert not Run.objects.exists()
    assert not Round.objects.exists()


def test_a_round_is_estimated_stage_by_stage(as_lead: Client, snapshot: Snapshot, model: Artifact) -> None:
    panels = ask_for_a_round(as_lead, model, snapshot, "ppo").context["panels"]
    assert [panel.recipe for panel in panels] == ["reward", "ppo"]
    assert "kv_cache" in panels[1].parts


def test_a_stage_is_rewarded_by_the_reward_model_that_its_round_trains(
    as_lead: Client, snapshot: Snapshot, model: Artifact
) -> None:
    several = {"reward-members": "3", "reward-ensemble_of": "adapters"}
    held = {}
    for name, changed in {"one": {}, "several": several, "whole": {"reward-adapter": "full"}}.items():
        told = ask_for_a_round(as_lead, model, snapshot, "ppo", **changed)
        assert "is not known, and taken" not in told.content.decode()
        held[name] = told.context["panels"][1].answer.chosen.memory.parts["reward"]
    assert held["one"] < held["whole"] < held["several"]


def test_a_reward_run_is_not_rewarded_itself(as_lead: Client, snapshot: Snapshot, model: Artifact) -> None:
    sent = {"estimate": "1", "model": model.pk, "snapshot": snapshot.pk, "seed": 1, **sent_back("reward")}
    told = as_lead.post(f"{RUNS}?recipe=reward", {**sent, "reward-adapter": "head"}, **HTMX)
    [panel] = told.context["panels"]
    assert panel.answer.question.reward is None
    asked = {"model": model.pk, "recipe": "reward", "snapshot": snapshot.number, "config": {"adapter": "head"}}
    same = as_lead.post("/api/v1/projects/garden/estimate/", asked, content_type="application/json").json()
    assert panel.answer.chosen.memory.as_dict() == same["memory_bytes"]


def test_settings_that_the_reward_model_cannot_have_are_named_as_its_own(
    as_lead: Client, snapshot: Snapshot, model: Artifact
) -> None:
    panels = ask_for_a_round(as_lead, model, snapshot, "ppo", **{"reward-targets": "nowhere"}).context["panels"]
    assert "reward.targets" in panels[1].problem


def test_a_reward_model_whose_settings_are_refused_today_is_said(
    as_lead: Client, snapshot: Snapshot, model: Artifact
) -> None:
    old = reward_run(snapshot, model, rank=100_000)
    found = {"project": model.project, "task": Task.REWARD, "is_adapter": True, "parent": model}
    judge = Artifact.objects.create(name="old", location=model.location, run=old, **found)
    sent = {"estimate": "1", "model": model.pk, "snapshot": snapshot.pk, "seed": 1, **sent_back("ppo")}
    [panel] = as_lead.post(f"{RUNS}?recipe=ppo", {**sent, "reward_model": judge.pk}, **HTMX).context["panels"]
    assert "reward.rank" in panel.problem


def test_a_run_is_rewarded_by_the_model_that_its_form_names(
    as_lead: Client, snapshot: Snapshot, model: Artifact, tmp_path: Path
) -> None:
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge" / "config.json").write_text(json.dumps({**SIZES, "num_hidden_layers": 1}))
    found = {"project": model.project, "task": Task.REWARD}
    judge = Artifact.objects.create(name="judge", location=str(tmp_path / "judge"), **found)
    sent = {"estimate": "1", "model": model.pk, "snapshot": snapshot.pk, "seed": 1, **sent_back("ppo")}
    told = as_lead.post(f"{RUNS}?recipe=ppo", {**sent, "reward_model": judge.pk}, **HTMX)
    [panel] = told.context["panels"]
    reads = read_architecture({**SIZES, "num_hidden_layers": 1})
    assert panel.answer.chosen.memory.parts["reward"] == 4 * (reads.body + reads.score_head())
    on_policy = {"name": "one more", "location": str(tmp_path / "adapter"), "is_adapter": True, "parent": model}
    trained = Artifact.objects.create(**found, **on_policy, run=reward_run(snapshot, model, rank=4))
    told = as_lead.post(f"{RUNS}?recipe=ppo", {**sent, "reward_model": trained.pk}, **HTMX)
    small = told.context["panels"][0].answer.chosen.memory.parts["reward"]
    assert small < 4 * reads.body


def reward_run(snapshot: Snapshot, model: Artifact, **settings: Any) -> Run:
    config = {"adapter": "lora", **settings}
    return Run.objects.create(project=model.project, recipe="reward", snapshot=snapshot, model=model, config=config)


def test_what_does_not_fit_is_said_with_the_nearest_that_does(
    as_lead: Client, snapshot: Snapshot, model: Artifact
) -> None:
    sent = {"dpo-adapter": "full", "dpo-batch_size": "8", "estimate-device": "cpu"}
    told = ask(as_lead, model, snapshot, **sent, **{"estimate-memory": "8"})
    [panel] = told.context["panels"]
    assert not panel.answer.chosen.fits
    assert panel.answer.advice.found.fits
    assert "The nearest that fits takes" in told.content.decode()
    fits = ask(as_lead, model, snapshot, **sent, **{"estimate-memory": "800"})
    assert "does not fit" not in fits.content.decode()


def test_a_model_that_is_not_here_yet_is_told(as_lead: Client, snapshot: Snapshot, base: Artifact) -> None:
    told = ask(as_lead, base, snapshot)
    assert "not on this machine yet" in told.content.decode()


def test_a_gguf_is_known_by_its_header_before_it_is_converted(
    as_lead: Client, snapshot: Snapshot, model: Artifact, tmp_path: Path
) -> None:
    """The same answer as for the folder that it was made of."""
    folder = build_fixture_model(tmp_path / "model")
    model.location = str(folder)
    model.save()
    [known] = ask(as_lead, model, snapshot).context["panels"]
    model.location = str(write_gguf(folder, tmp_path / "model.gguf"))
    model.save()
    [found] = ask(as_lead, model, snapshot).context["panels"]
    assert found.answer.chosen.parameters == known.answer.chosen.parameters
    assert found.answer.chosen.memory == known.answer.chosen.memory


def test_an_unknown_architecture_is_said_and_counted_as_a_llama(
    as_lead: Client, snapshot: Snapshot, model: Artifact
) -> None:
    Path(model.location, "config.json").write_text(json.dumps({**SIZES, "model_type": "mamballama"}))
    told = ask(as_lead, model, snapshot).content.decode()
    assert "“mamballama” is not known here" in told
    assert "134,515,008" in told


def test_a_setting_out_of_range_is_said(as_lead: Client, snapshot: Snapshot, model: Artifact) -> None:
    told = ask(as_lead, model, snapshot, **{"dpo-rank": "0"})
    assert "A setting cannot be used" in told.content.decode()


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


def test_this_machine_is_measured_in_a_process_of_its_own() -> None:
    found = MEASURED()
    assert found["operations"] > 1e8 and found["bytes"] > 1e7
