"""A single run of any recipe: with what it needs, and refused with the reason where something is missing or amiss."""

from pathlib import Path
from typing import Any

import pytest

from annotate.models import DemonstrationSet, FeedbackSet, Project, Snapshot
from annotate.workflow.demonstrations import import_demonstrations
from annotate.workflow.feedback import import_feedback
from annotate.workflow.projects import create_project
from tests.training.fixture_model import build_fixture_model
from training.models import Artifact, Run
from training.workflow import disk, jobs, rounds, starting
from training.workflow.exceptions import BadConfig, BadInput, ModelRefused, TooFewLabels, TooLittleDisk, WorkflowError

pytestmark = pytest.mark.django_db
PAIRED = [recipe for recipe in starting.TRAINED if recipe != "sft" and recipe not in starting.REWARDED]


@pytest.fixture
def demonstrations(project: Project) -> DemonstrationSet:
    lines = [f'{{"prompt": "How {n}?", "response": "So."}}\n' for n in range(8)]
    return import_demonstrations(project=project, name="manners", lines=lines)[0]


@pytest.fixture
def feedback(project: Project) -> FeedbackSet:
    lines = [f'{{"prompt": "How {n}?", "completion": "So.", "label": {n % 2}}}\n' for n in range(8)]
    return import_feedback(project=project, name="thumbs", lines=lines)[0]


@pytest.fixture
def scorer(project: Project, policy: Artifact) -> Artifact:
    return Artifact.objects.create(project=project, name="scorer", task="reward", location="/scorer", parent=policy)


@pytest.mark.parametrize("recipe", PAIRED)
def test_what_learns_from_pairs_needs_a_snapshot_and_nothing_else(
    project: Project, snapshot: Snapshot, policy: Artifact, recipe: str
) -> None:
    run = starting.start_training(project, recipe, snapshot, policy, {})
    assert (run.state, run.snapshot, run.model) == ("queued", snapshot, policy)
    with pytest.raises(BadInput, match="needs a snapshot") as refused:
        starting.start_training(project, recipe, None, policy, {})
    assert refused.value.where == "snapshot"


def test_single_votes_stand_in_place_of_a_snapshot(
    project: Project, snapshot: Snapshot, policy: Artifact, feedback: FeedbackSet, tmp_path: Path
) -> None:
    run = starting.start_training(project, "kto", None, policy, {}, feedback=feedback)
    assert run.name.endswith("thumbs") and run.snapshot is None
    job = jobs.job_of(run, tmp_path)
    assert (job["data"]["snapshot_hash"], job["data"]["unpaired"]) == (feedback.content_hash, True)
    assert Path(job["data"]["train"]).exists() and Path(job["data"]["test"]).exists()
    assert job["lineage"]["feedback"] == "thumbs"
    of_pairs = starting.start_training(project, "kto", snapshot, policy, {})
    assert "unpaired" not in jobs.job_of(of_pairs, tmp_path)["data"]


@pytest.mark.parametrize("recipe", [recipe for recipe in starting.TRAINED if recipe != "kto"])
def test_what_cannot_learn_from_single_votes_refuses_them(
    project: Project, policy: Artifact, feedback: FeedbackSet, recipe: str
) -> None:
    judge = {"reward_model": Artifact.objects.create(project=project, name="s", task="reward", location="/s")}
    more = judge if recipe in starting.REWARDED else {}
    with pytest.raises(BadInput, match="does not learn from single votes") as refused:
        starting.start_training(project, recipe, None, policy, {}, feedback=feedback, **more)
    assert refused.value.where == "feedback"


def test_a_snapshot_and_feedback_at_once_are_refused(
    project: Project, snapshot: Snapshot, policy: Artifact, feedback: FeedbackSet, lead: Any
) -> None:
    with pytest.raises(BadInput, match="not from both") as refused:
        starting.start_training(project, "kto", snapshot, policy, {}, feedback=feedback)
    assert refused.value.where == "feedback"
    other = create_project(slug="other", name="Other", manager=lead, guideline="x", summary="y")
    FeedbackSet.objects.filter(pk=feedback.pk).update(project=other)
    feedback.refresh_from_db()
    with pytest.raises(WorkflowError, match="project's own"):
        starting.start_training(project, "kto", None, policy, {}, feedback=feedback)
    assert not Run.objects.exists()


@pytest.mark.parametrize("recipe", starting.REWARDED)
def test_what_is_paid_by_a_reward_model_is_told_of_it_in_its_job(
    project: Project, snapshot: Snapshot, policy: Artifact, scorer: Artifact, recipe: str, tmp_path: Path
) -> None:
    run = starting.start_training(project, recipe, snapshot, policy, {}, reward_model=scorer)
    assert jobs.job_of(run, tmp_path)["reward_model"] == {"base": "/scorer", "adapters": []}
    with pytest.raises(BadInput, match="needs a reward model") as refused:
        starting.start_training(project, recipe, snapshot, policy, {})
    assert refused.value.where == "reward_model"


def test_fine_tuning_takes_demonstrations_in_place_of_a_snapshot(
    project: Project, snapshot: Snapshot, policy: Artifact, demonstrations: DemonstrationSet, tmp_path: Path
) -> None:
    run = starting.start_training(project, "sft", None, policy, {}, demonstrations=demonstrations)
    assert run.name.endswith("manners")
    job = jobs.job_of(run, tmp_path)
    assert job["data"]["snapshot_hash"] == demonstrations.content_hash
    assert job["lineage"]["demonstrations"] == "manners"
    with pytest.raises(BadInput, match="needs a set of demonstrations"):
        starting.start_training(project, "sft", None, policy, {})
    with pytest.raises(BadInput, match="not from a snapshot"):
        starting.start_training(project, "sft", snapshot, policy, {}, demonstrations=demonstrations)


def test_a_reward_model_where_a_policy_is_wanted_is_refused_and_the_reverse(
    project: Project, snapshot: Snapshot, policy: Artifact, scorer: Artifact
) -> None:
    with pytest.raises(ModelRefused, match="writes none") as start:
        starting.start_training(project, "dpo", snapshot, scorer, {})
    with pytest.raises(ModelRefused, match="scores none") as judge:
        starting.start_training(project, "ppo", snapshot, policy, {}, reward_model=policy)
    assert (start.value.where, judge.value.where) == ("model", "reward_model")


def test_what_a_recipe_would_not_look_at_is_refused_instead_of_ignored(
    project: Project, snapshot: Snapshot, policy: Artifact, scorer: Artifact, demonstrations: DemonstrationSet
) -> None:
    with pytest.raises(BadInput, match="uses no reward model"):
        starting.start_training(project, "dpo", snapshot, policy, {}, reward_model=scorer)
    with pytest.raises(BadInput, match="not from demonstrations"):
        starting.start_training(project, "dpo", snapshot, policy, {}, demonstrations=demonstrations)
    assert not Run.objects.exists()


TWICE = {"adapter": "prefix", "gradient_checkpointing": "on"}


@pytest.mark.parametrize(
    ("asked", "field"),
    [({"targets": "foo_proj"}, "targets"), ({"adapter": "bias"}, "adapter"), (TWICE, "gradient_checkpointing")],
)
def test_what_has_no_place_in_the_model_is_refused_before_the_start(
    project: Project, snapshot: Snapshot, policy: Artifact, tmp_path: Path, asked: dict[str, Any], field: str
) -> None:
    """In a run and in a round, as far as the model is known."""
    known = Artifact.objects.create(
        project=project, name="known", location=str(build_fixture_model(tmp_path / "model"))
    )
    with pytest.raises(BadConfig) as refused:
        starting.start_training(project, "dpo", snapshot, known, asked)
    assert refused.value.field == field
    with pytest.raises(BadConfig):
        rounds.start_round(project, snapshot, known, configs={"dpo": asked}, prompts=1)
    assert not Run.objects.exists()
    nowhere = Artifact.objects.create(project=project, name="nowhere", location="owner/nowhere")
    assert starting.start_training(project, "dpo", snapshot, nowhere, asked).state == "queued"
    config = tmp_path / "model" / "config.json"
    config.write_text(config.read_text().replace('"llama"', '"phi3"'))  # whose layers have other names
    assert starting.start_training(project, "dpo", snapshot, known, asked).state == "queued"


def test_rows_of_another_project_are_refused(project: Project, snapshot: Snapshot, policy: Artifact, lead: Any) -> None:
    other = create_project(slug="other", name="Other", manager=lead, guideline="x", summary="y")
    foreign = Artifact.objects.create(project=other, name="foreign", task="reward", location="/x")
    with pytest.raises(WorkflowError, match="project's own"):
        starting.start_training(project, "ppo", snapshot, policy, {}, reward_model=foreign)


def test_who_won_matters_to_what_learns_from_pairs_only(
    project: Project, snapshot: Snapshot, policy: Artifact, scorer: Artifact
) -> None:
    snapshot.counts = {"won_by_a": 9, "won_by_b": 0, "train": 7, "test": 2}
    with pytest.raises(TooFewLabels, match="9 pair"):
        starting.start_training(project, "kto", snapshot, policy, {})
    starting.start_training(project, "rloo", snapshot, policy, {}, reward_model=scorer)
    snapshot.counts["test"] = 0
    with pytest.raises(TooFewLabels, match="too few prompts"):
        starting.start_training(project, "rloo", snapshot, policy, {}, reward_model=scorer)


def test_what_is_sampled_is_no_training(project: Project, snapshot: Snapshot, policy: Artifact) -> None:
    with pytest.raises(WorkflowError, match="trains nothing"):
        starting.start_training(project, "sample", snapshot, policy, {})


def test_a_whole_model_wants_more_disk_than_an_adapter_and_ppo_more_than_dpo(
    policy: Artifact, model_folder: Path
) -> None:
    size = (model_folder / "model.safetensors").stat().st_size
    wanted = {
        adapter: disk.disk_wanted(policy, [("dpo", {"adapter": adapter, "layers": 1})])
        for adapter in ("full", "last_layers", "lora", "prefix")
    }
    assert wanted["full"] == disk.FULL_GROWTH * size
    assert wanted["lora"] == wanted["prefix"] == disk.SMALL_RUN
    assert disk.SMALL_RUN < wanted["last_layers"] < disk.SMALL_RUN + wanted["full"]
    assert disk.disk_wanted(policy, [("ppo", {"adapter": "lora"})]) == disk.SMALL_RUN + disk.VALUE_MODEL


def test_a_full_disk_is_told_before_the_start(
    project: Project, snapshot: Snapshot, policy: Artifact, scorer: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "VALUE_MODEL", 2**60)
    starting.start_training(project, "dpo", snapshot, policy, {})
    with pytest.raises(TooLittleDisk, match="GB"):
        starting.start_training(project, "ppo", snapshot, policy, {}, reward_model=scorer)
