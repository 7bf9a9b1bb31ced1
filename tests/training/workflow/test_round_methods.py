"""Rounds by every method: what their stages are aimed at, what is refused before, and the whole way with processes."""

import json
from typing import Any

import pytest

from annotate.models import Comparison, DemonstrationSet, Project, Prompt, Snapshot
from annotate.workflow.demonstrations import import_demonstrations
from annotate.workflow.projects import create_project
from tests.training.demonstrations import demonstration_rows
from training.models import Artifact, Round, Run, RunState
from training.recipes.adapters import MERGEABLE, METHODS
from training.workflow import rounds, runner, runs
from training.workflow.exceptions import BadConfig, BadInput, ModelRefused, WorkflowError
from training.workflow.starting import POLICIES, REWARDED

PAIRS = {"batch_size": 4, "max_length": 256}
OWN_TEXTS = {"max_length": 256, "max_new_tokens": 8, "epochs": 1, "batch_size": 4}
QUICK: dict[str, dict[str, Any]] = {
    "sft": {**PAIRS, "epochs": 1},
    "reward": PAIRS,
    **dict.fromkeys(("dpo", "kto", "orpo", "simpo"), PAIRS),
    "ppo": {**OWN_TEXTS, "rollouts": 8, "ppo_epochs": 1},
    "rloo": {**OWN_TEXTS, "gradient_accumulation": 2},
    "grpo": {**OWN_TEXTS, "gradient_accumulation": 2},
    "sample": {"max_new_tokens": 8},
}

pytestmark = pytest.mark.django_db


@pytest.fixture
def demonstrations(project: Project) -> DemonstrationSet:
    rows = [(row["id"], row["prompt"][0]["content"], row["response"][0]["content"]) for row in demonstration_rows(12)]
    lines = [json.dumps(dict(zip(("id", "prompt", "response"), row, strict=True))) + "\n" for row in rows]
    return import_demonstrations(project=project, name="manners", lines=lines)[0]


def _of(round: Round) -> list[Run]:
    return list(round.runs.order_by("stage"))


def _done(run: Run, task: str = "policy") -> Artifact:
    """As the supervisor leaves it, without a process."""
    run.refresh_from_db()
    assert runs.claim(run, "here:gpu0", "w:1")
    made = Artifact.objects.create(
        project=run.project, name=run.name, task=task, location="/x", is_adapter=True, parent=run.model, run=run
    )
    assert runs.finish(run, RunState.SUCCEEDED)
    rounds.advance(run.round)
    return made


def _product(project: Project, policy: Artifact, adapter: str) -> Artifact:
    run = runs.create_run(project, "dpo", {"adapter": adapter}, "made", model=policy)
    return Artifact.objects.create(
        project=project, name=f"by {adapter}", location="/x", is_adapter=adapter != "full", parent=policy, run=run
    )


@pytest.mark.parametrize("method", POLICIES)
def test_every_method_makes_the_policy_of_a_round(
    project: Project, snapshot: Snapshot, policy: Artifact, method: str
) -> None:
    round = rounds.start_round(project, snapshot, policy, policy=method, prompts=3)
    assert [run.recipe for run in _of(round)] == ["reward", method, "sample"]
    reward, new, samples = _of(round)
    scorer = _done(reward, "reward")
    made = _done(new)
    new.refresh_from_db()
    samples.refresh_from_db()
    assert (new.model, new.reward_model) == (policy, scorer if method in REWARDED else None)
    assert (samples.model, samples.reference_model, samples.state) == (made, policy, "queued")


def test_after_demonstrations_everything_is_trained_on_top_of_them_and_compared_with_them(
    project: Project, snapshot: Snapshot, policy: Artifact, demonstrations: DemonstrationSet
) -> None:
    round = rounds.start_round(project, snapshot, policy, policy="ppo", demonstrations=demonstrations, prompts=3)
    sft, reward, new, samples = _of(round)
    assert [run.recipe for run in _of(round)] == ["sft", "reward", "ppo", "sample"]
    assert (sft.model, sft.demonstrations, sft.snapshot) == (policy, demonstrations, None)
    assert (sft.state, sft.name) == ("queued", "Round 1 fine-tuned (SFT)")
    tuned = _done(sft)
    scorer = _done(reward, "reward")
    made = _done(new)
    for run in (reward, new, samples):
        run.refresh_from_db()
    assert reward.model == new.model == samples.reference_model == tuned
    assert (new.reward_model, samples.model, round.base_policy) == (scorer, made, policy)


@pytest.mark.parametrize("adapter", [name for name in METHODS if name != "bias"])  # a Llama has none
def test_what_cannot_be_merged_is_refused_as_the_start_of_the_stages_behind_it(
    project: Project, snapshot: Snapshot, policy: Artifact, demonstrations: DemonstrationSet, adapter: str
) -> None:
    """As the adapter of SFT, and as that of the policy to start from; behind them every adapter may stand."""
    method = {"adapter": adapter, "layers": 1}
    own = {"sft": method}
    start = _product(project, policy, adapter)
    if adapter in MERGEABLE:
        rounds.start_round(project, snapshot, policy, own, demonstrations=demonstrations)
        rounds.start_round(project, snapshot, start, {"dpo": method})
        return
    rounds.start_round(project, snapshot, policy, {"reward": method, "dpo": method})
    with pytest.raises(BadConfig, match="could not be trained on top") as setting:
        rounds.start_round(project, snapshot, policy, own, demonstrations=demonstrations)
    assert (setting.value.where, setting.value.status) == ("sft.adapter", 400)
    with pytest.raises(ModelRefused, match="cannot be trained further") as model:
        rounds.start_round(project, snapshot, start)
    assert model.value.where == "base_policy"
    assert Round.objects.count() == 1


def test_a_model_on_top_of_one_that_cannot_be_merged_is_refused_too(
    project: Project, snapshot: Snapshot, policy: Artifact
) -> None:
    beside = _product(project, policy, "prefix")
    run = runs.create_run(project, "dpo", {"adapter": "lora"}, "on top", model=beside)
    top = Artifact.objects.create(project=project, name="top", location="/x", is_adapter=True, parent=beside, run=run)
    with pytest.raises(ModelRefused, match="Prefix-Tuning"):
        rounds.start_round(project, snapshot, top)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"policy": "sft"}, "cannot make its policy with “sft”"),
        ({"policy": "nonsense"}, "cannot make its policy with “nonsense”"),
        ({"policy": "kto", "configs": {"dpo": {}}}, "no stage “dpo”"),
        ({"configs": {"sft": {}}}, "no stage “sft”"),
        ({"policy": "ppo", "configs": {"ppo": {"kl_coefficient": -1}}}, r"ppo\.kl_coefficient"),
        ({"policy": "grpo", "configs": {"grpo": {"generations": 5}}}, r"grpo\.generations"),
    ],
)
def test_what_a_round_cannot_do_is_refused_and_nothing_is_made(
    project: Project, snapshot: Snapshot, policy: Artifact, asked: dict[str, Any], words: str
) -> None:
    with pytest.raises((BadInput, BadConfig), match=words):
        rounds.start_round(project, snapshot, policy, **asked)
    assert not Round.objects.exists() and not Run.objects.exists()


def test_demonstrations_of_another_project_are_refused(
    project: Project, snapshot: Snapshot, policy: Artifact, demonstrations: DemonstrationSet, lead: Any
) -> None:
    demonstrations.project = create_project(slug="other", name="Other", manager=lead, guideline="x", summary="y")
    with pytest.raises(WorkflowError, match="project's own"):
        rounds.start_round(project, snapshot, policy, demonstrations=demonstrations)
    assert not Round.objects.exists()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("method", POLICIES)
def test_a_round_goes_the_whole_way_by_every_method(
    project: Project,
    snapshot: Snapshot,
    policy: Artifact,
    prompts: list[Prompt],
    demonstrations: DemonstrationSet,
    method: str,
) -> None:
    """PPO with fine-tuning on demonstrations before it."""
    first = demonstrations if method == "ppo" else None
    stages = rounds.stages_of(method, first is not None)
    configs = {stage: QUICK[stage] for stage in stages}
    round = rounds.start_round(project, snapshot, policy, configs, policy=method, demonstrations=first, prompts=4)
    while queued := Run.objects.queued().first():
        assert runner.execute(queued.pk) == RunState.SUCCEEDED, Run.objects.get(pk=queued.pk).reason
    made = {artifact.run.recipe: artifact for artifact in Artifact.objects.filter(run__round=round)}
    assert set(made) == {*stages} - {"sample"}
    assert made[method].parent == made["reward"].parent == made.get("sft", policy)
    if method in REWARDED:
        assert made[method].manifest["reward_model"]["adapters"][-1] == made["reward"].location
    round.refresh_from_db()
    assert Comparison.objects.filter(batch=round.batch).exists()
