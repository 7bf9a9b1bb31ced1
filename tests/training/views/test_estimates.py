"""The table of what every adapter method would take, beside the forms that start runs and rounds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from annotate.models import Project, Snapshot
from annotate.workflow import snapshots
from annotate.workflow.demonstrations import import_demonstrations
from tests.training.fixture_model import build_fixture_model
from tests.training.gguf_file import write_gguf
from tests.training.small_model import SIZES, small_model
from tests.training.views.test_forms import sent_back
from tests.training.workflow.products import finished
from training.models import Artifact, Round, Run, Task
from training.recipes import load
from training.recipes.adapters import METHODS
from training.recipes.estimate import Advice, Data, Machine, Question, Speed, estimate, read_architecture
from training.workflow import device
from training.workflow.estimate_words import changes
from training.workflow.seen_before import seen_before

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("speed_is_known")]
RUNS, ROUNDS = "/p/garden/runs/new/", "/p/garden/rounds/new/"
ESTIMATES = "/api/v1/projects/garden/estimate/"
HTMX = {"HTTP_HX_REQUEST": "true", "HTTP_HX_TARGET": "estimate"}


@pytest.fixture
def model(project: Project, tmp_path: Path) -> Artifact:
    return small_model(project, tmp_path)


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


def test_whether_it_fits_is_not_told_of_a_gpu_that_is_not_here(
    as_lead: Client, snapshot: Snapshot, model: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "found", lambda: device.Found(host=8 * 10**9, gpu=0))
    said = "whether it fits is not told"
    assert said in ask(as_lead, model, snapshot, **{"estimate-device": "gpu"}).content.decode()
    known = {"estimate-device": "gpu", "estimate-memory": "80"}
    assert said not in ask(as_lead, model, snapshot, **known).content.decode()


def test_a_method_of_which_nothing_is_known_leaves_the_others_in_the_table(
    as_lead: Client, snapshot: Snapshot, model: Artifact
) -> None:
    (Path(model.location) / "config.json").write_text(json.dumps({**SIZES, "model_type": "gpt_neox"}))
    told = ask(as_lead, model, snapshot, **{"dpo-targets": "query_key_value"})
    page = told.content.decode()
    assert "Not known: how large layers named query_key_value are" in page and "The model has" in page
    assert [one.adapter for one in told.context["panels"][0].answer.methods if one.memory]


def test_no_run_is_started_by_it(as_lead: Client, snapshot: Snapshot, model: Artifact) -> None:
    whole = ask(as_lead, model, snapshot, htmx=False)
    ask_for_a_round(as_lead, model, snapshot, "dpo")
    assert "<html" in whole.content.decode()  # without a script the page comes back with the table in it
    assert whole.context["panels"][0].answer is not None
    assert not Run.objects.exists()
    assert not Round.objects.exists()


def reads_of_judgments(verb: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as asked:
        verb()
    return sum("annotate_judgment" in query["sql"] for query in asked.captured_queries)


def test_only_the_page_tells_what_a_snapshot_would_hold(as_lead: Client, snapshot: Snapshot, model: Artifact) -> None:
    """That takes every judgment, and the estimate is asked for at every change of the form."""
    once = reads_of_judgments(lambda: snapshots.select(project=snapshot.project))
    assert reads_of_judgments(lambda: as_lead.get(ROUNDS)) == once > 0
    assert reads_of_judgments(lambda: ask_for_a_round(as_lead, model, snapshot, "ppo")) == 0


def test_a_round_is_estimated_stage_by_stage(as_lead: Client, snapshot: Snapshot, model: Artifact) -> None:
    panels = ask_for_a_round(as_lead, model, snapshot, "ppo").context["panels"]
    assert [panel.recipe for panel in panels] == ["reward", "ppo", "sample"]
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


def test_a_smaller_batch_is_said_to_change_what_looks_at_all_of_it() -> None:
    smaller = {"batch_size": 2, "gradient_accumulation": 4}
    for recipe, more, said in (("kto", {}, True), ("dpo", {}, False), ("dpo", {"sft_weight": 0.1}, True)):
        question = Question(read_architecture(SIZES), recipe, Machine("cpu", 2**40), Data(100, 0.0), Speed())
        found = estimate(question, load(recipe, {**smaller, **more}))
        assert ("looks at all of a batch" in changes(Advice(smaller, found), question)) is said, recipe
        assert "looks at all" not in changes(Advice({"gradient_checkpointing": "on"}, found), question)


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
    [panel] = told.context["panels"]
    assert panel.problem == "Rank: Ensure this value is greater than or equal to 1."
    assert panel.problem in told.content.decode()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"dpo-adapter": "bias"}, "Adapter: This model (llama) has no biases"),
        ({"dpo-targets": "nope_proj"}, "Target layers: The model has no linear layer named nope_proj"),
        ({"dpo-adapter": "last_layers", "dpo-layers": "31"}, "Last layers: The model has 30 layers"),
    ],
)
def test_a_chosen_method_without_a_place_in_the_model_leaves_the_others_in_the_table(
    as_lead: Client, snapshot: Snapshot, model: Artifact, changed: dict[str, str], named: str
) -> None:
    told = ask(as_lead, model, snapshot, **changed)
    [panel] = told.context["panels"]
    page = told.content.decode()
    assert panel.problem.startswith(named) and "dpo." not in page
    assert page.count('aria-current="true"') == 1 and "134,515,008" in page
    assert [one.adapter for one in panel.answer.methods if one.memory]


def test_held_out_prompts_that_were_trained_on_are_told_before_the_start(
    as_lead: Client, project: Project, snapshot: Snapshot, model: Artifact
) -> None:
    said = "been trained on before, by “{}”: the figures will flatter this run."
    tuned = finished(project, model, "dpo", snapshot=snapshot, name="Round 1")
    other = snapshots.freeze(project=project, test_share=0.3, seed=1)[0]
    seen = seen_before(Run(recipe="dpo", config={}, model=tuned, snapshot=other))
    assert seen is not None and seen["by"] == ["Round 1"]
    page = ask(as_lead, tuned, other).content.decode()
    assert f"{seen['seen']} of {seen['prompts']} held-out prompts" in page and said.format("Round 1") in page
    assert "trained on before" not in ask(as_lead, tuned, snapshot).content.decode()
    assert "trained on before" not in ask(as_lead, model, other).content.decode()
    asked = {"recipe": "dpo", "model": tuned.pk, "snapshot": other.number, "config": {}}
    assert as_lead.post(ESTIMATES, asked, content_type="application/json").json()["seen_before"] == seen
    asked["model"] = model.pk
    assert as_lead.post(ESTIMATES, asked, content_type="application/json").json()["seen_before"] is None


def test_demonstrations_of_the_round_itself_are_counted_for_the_stages_behind_them(
    as_lead: Client, project: Project, snapshot: Snapshot, model: Artifact
) -> None:
    rows = [json.dumps({"messages": prompt.messages, "response": "So."}) for prompt in project.prompts.all()]
    manners = import_demonstrations(project=project, name="manners", lines=rows, test_share=0.2).set
    other = snapshots.freeze(project=project, test_share=0.3, seed=1)[0]
    more = {"demonstrations": str(manners.pk), **sent_back("sft")}
    panels = {one.recipe: one for one in ask_for_a_round(as_lead, model, other, "dpo", **more).context["panels"]}
    assert set(panels) == {"sft", "reward", "dpo", "sample"} and not panels["sft"].seen
    for recipe in ("reward", "dpo"):
        assert "by “Fine-tuning on demonstrations (SFT)”" in panels[recipe].seen
    same = ask_for_a_round(as_lead, model, snapshots.freeze(project=project, test_share=0.2)[0], "dpo", **more)
    assert not any(panel.seen for panel in same.context["panels"] if panel.recipe != "sample")
