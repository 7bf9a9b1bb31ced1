"""A round: refused before anything is made, or carried through stage by stage."""

import pytest
from django.db.models import F

from annotate.models import Batch, Comparison, Judgment, Project, Prompt, Snapshot, User
from tests.training.workflow.products import end, write_product
from training.models import Artifact, Round, Run, RunState, Sample
from training.workflow import deletion, disk, evaluation, lineage, rounds, runner, runs
from training.workflow.exceptions import (
    BadConfig,
    ModelRefused,
    NoPrompts,
    RunNotResumable,
    TooFewLabels,
    TooLittleDisk,
)
from training.workflow.folders import artifact_folder

QUICK = {
    "reward": {"batch_size": 4, "max_length": 256},
    "dpo": {"batch_size": 4, "max_length": 256, "learning_rate": 1e-3},
    "sample": {"max_new_tokens": 8},
}

pytestmark = pytest.mark.django_db


def _states(round: Round) -> list[str]:
    return list(round.runs.order_by("stage").values_list("state", flat=True))


def _nothing_was_made() -> bool:
    return not Round.objects.exists() and not Run.objects.exists() and not Batch.objects.filter(name="Round 1").exists()


def test_the_first_stage_is_queued_and_the_others_wait(
    project: Project, snapshot: Snapshot, policy: Artifact, prompts: list[Prompt]
) -> None:
    round = rounds.start_round(project, snapshot, policy, prompts=3)
    assert [run.name for run in round.runs.order_by("stage")] == [
        "Round 1 reward model",
        "Round 1 policy (DPO)",
        "Round 1 samples",
    ]
    assert _states(round) == ["queued", "waiting", "waiting"]
    assert round.runs.get(stage=2).config["samples_per_prompt"] == 1
    assert rounds.advance(round) is None, "the first stage has not ended"


@pytest.mark.parametrize(
    "counts",
    [
        {"won_by_a": 9, "won_by_b": 1, "train": 8, "test": 2},
        {"won_by_a": 1, "won_by_b": 9, "train": 8, "test": 2},
        {"won_by_a": 5, "won_by_b": 5, "train": 10, "test": 0},
        {"won_by_a": 5, "won_by_b": 5, "train": 0, "test": 10},
    ],
)
def test_too_few_labels_are_told_with_their_numbers(
    project: Project, snapshot: Snapshot, policy: Artifact, prompts: list[Prompt], counts: dict[str, int]
) -> None:
    snapshot.counts = counts
    with pytest.raises(TooFewLabels) as refused:
        rounds.start_round(project, snapshot, policy)
    for number in counts.values():
        assert str(number) in refused.value.message
    assert _nothing_was_made()


def test_a_wrong_setting_is_named_by_stage_and_field(project: Project, snapshot: Snapshot, policy: Artifact) -> None:
    with pytest.raises(BadConfig, match=r"dpo\.beta"):
        rounds.start_round(project, snapshot, policy, {"dpo": {"beta": -1}})
    with pytest.raises(BadConfig, match="no stage"):
        rounds.start_round(project, snapshot, policy, {"ppo": {}})
    assert _nothing_was_made()


def test_a_full_disk_is_told_before_the_start(
    project: Project, snapshot: Snapshot, policy: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "SMALL_RUN", 2**60)
    with pytest.raises(TooLittleDisk, match="GB"):
        rounds.start_round(project, snapshot, policy)
    assert _nothing_was_made()


def test_a_reward_model_is_no_start_of_a_policy(project: Project, snapshot: Snapshot, policy: Artifact) -> None:
    policy.task = "reward"
    with pytest.raises(ModelRefused, match="reward model"):
        rounds.start_round(project, snapshot, policy)
    assert _nothing_was_made()


def test_a_project_without_prompts_cannot_sample(project: Project, policy: Artifact) -> None:
    snapshot = Snapshot(project=project, number=1, counts={"won_by_a": 5, "won_by_b": 5, "train": 8, "test": 2})
    with pytest.raises(NoPrompts):
        rounds.start_round(project, snapshot, policy)
    assert _nothing_was_made()


def test_a_failed_stage_stops_the_round_until_it_is_resumed(
    project: Project, snapshot: Snapshot, policy: Artifact
) -> None:
    round = rounds.start_round(project, snapshot, policy)
    first, second = round.runs.order_by("stage")[:2]
    runs.claim(first, "here:gpu0", "w:1")
    runs.finish(first, RunState.FAILED, reason="out of memory")
    assert rounds.advance_all() == []
    assert _states(round) == ["failed", "waiting", "waiting"]
    rounds.resume(first)
    runs.claim(first, "here:gpu0", "w:1")
    runs.finish(first, RunState.SUCCEEDED)
    assert rounds.advance_all() == [second]
    assert _states(round) == ["succeeded", "queued", "waiting"]


def test_a_cancelled_stage_whose_turn_has_not_come_waits_again_when_resumed(
    project: Project, snapshot: Snapshot, policy: Artifact
) -> None:
    round = rounds.start_round(project, snapshot, policy)
    second = round.runs.get(stage=1)
    runs.request_cancel(second)
    rounds.resume(second)
    assert _states(round) == ["queued", "waiting", "waiting"]


@pytest.mark.parametrize("later", [False, True])
def test_a_stage_that_was_cancelled_before_its_turn_is_aimed_when_resumed(
    project: Project, snapshot: Snapshot, policy: Artifact, lead: User, later: bool
) -> None:
    """Else it would be trained on the bare base, unrewarded. `later`: not at once, but with the next reconciliation."""
    round = rounds.start_round(project, snapshot, policy, policy="ppo", prompts=3)
    first, second, third = round.runs.order_by("stage")
    runs.request_cancel(second)
    runs.request_cancel(third)
    scorer = _done(first)
    assert _states(round) == ["succeeded", "cancelled", "cancelled"]
    if later:
        runs.resume(second, lead)
        assert rounds.advance_all() == [second]
    else:
        assert rounds.resume(second, lead).state == RunState.QUEUED
    second.refresh_from_db()
    assert (second.state, second.model, second.reward_model) == (RunState.QUEUED, policy, scorer)
    assert second.events.get(state="waiting", detail="Resumed.").actor == lead
    new = _done(second)
    samples = rounds.resume(third)
    assert (samples.state, samples.model, samples.reference_model) == (RunState.QUEUED, new, policy)
    assert samples.batch == Round.objects.get().batch is not None


def test_samples_that_are_resumed_keep_their_batch_and_their_prompts(
    project: Project, snapshot: Snapshot, policy: Artifact, prompts: list[Prompt]
) -> None:
    round = rounds.start_round(project, snapshot, policy, prompts=3)
    first, second, third = round.runs.order_by("stage")
    _done(first)
    _done(second)
    third.refresh_from_db()
    batch, asked = third.batch, third.prompt_ids
    Run.objects.filter(pk=third.pk).update(state=RunState.FAILED)
    Prompt.objects.filter(pk=asked[0]).update(key="no longer fresh")
    project.prompts.create(key="fresher", messages=[{"role": "user", "content": "New?"}], content_hash="f")
    resumed = rounds.resume(third)
    assert (resumed.state, resumed.batch, resumed.prompt_ids) == (RunState.QUEUED, batch, asked)
    assert Batch.objects.filter(round_number=1).count() == 1


def test_a_stage_is_not_resumed_without_the_model_it_would_be_aimed_at(
    project: Project, snapshot: Snapshot, policy: Artifact
) -> None:
    round = rounds.start_round(project, snapshot, policy, policy="ppo", prompts=3)
    first, second, third = round.runs.order_by("stage")
    runs.request_cancel(second)
    runs.request_cancel(third)
    deletion.delete_artifact(_done(first))
    with pytest.raises(RunNotResumable, match="Round 1 reward model"):
        rounds.resume(second)
    assert _states(round) == ["succeeded", "cancelled", "cancelled"]


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_cancel_that_comes_as_a_stage_is_done_keeps_its_model_and_begins_no_other(
    project: Project, snapshot: Snapshot, policy: Artifact, cancelled: bool
) -> None:
    round = rounds.start_round(project, snapshot, policy, prompts=3)
    first = round.runs.get(stage=0)
    assert runs.claim(first, "here:gpu0", "w:1")
    supervised = runner._Supervision(first)
    write_product(artifact_folder(first), "reward", first.config)
    if cancelled:
        assert runs.request_cancel(Run.objects.get(pk=first.pk)) == RunState.CANCELLING
    supervised._succeed()
    assert Artifact.objects.get(run=first).task == "reward"
    assert rounds.advance_all() == []
    if not cancelled:
        assert _states(round) == ["succeeded", "queued", "waiting"]
        return
    assert _states(round) == ["succeeded", "cancelled", "cancelled"]
    assert "had done its work before it could stop" in first.events.last().detail
    assert rounds.resume(round.runs.get(stage=1)).state == RunState.QUEUED


def _done(run: Run) -> Artifact:
    """A stage that went well, and its product."""
    task = "reward" if run.recipe == "reward" else "policy"
    end(run)
    made = Artifact.objects.create(
        project=run.project, name=run.name, task=task, location="/x", run=run, parent=run.model, is_adapter=True
    )
    rounds.advance(run.round)
    return made


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("forked")
def test_a_round_goes_all_the_way_round(
    project: Project, snapshot: Snapshot, policy: Artifact, prompts: list[Prompt]
) -> None:
    round = rounds.start_round(project, snapshot, policy, QUICK, prompts=4)
    while queued := Run.objects.queued().first():
        assert runner.execute(queued.pk) == RunState.SUCCEEDED, Run.objects.get(pk=queued.pk).reason
    round.refresh_from_db()
    assert _states(round) == ["succeeded"] * 3

    reward, new = Artifact.objects.filter(run__round=round).order_by("run__stage")
    assert (reward.name, new.name) == ("Round 1 reward model", "Round 1 policy (DPO)")
    assert (reward.task, new.task, new.parent, new.snapshot) == ("reward", "policy", policy, snapshot)

    assert (round.batch.name, round.batch.round_number) == ("Round 1", 1)
    fresh = Comparison.objects.filter(batch=round.batch)
    assert 0 < fresh.count() <= 4
    assert {comparison.prompt.key for comparison in fresh} <= {prompt.key for prompt in prompts}
    sampled = set(Sample.objects.filter(run__round=round).values_list("artifact__name", flat=True))
    assert sampled == {"fixture", "Round 1 policy (DPO)"}

    scores = round.runs.get(stage=2).result["scores"]
    assert round.runs.get(stage=2).reward_model == reward and scores["difference"]["n"] == scores["prompts"] == 4
    assert not Sample.objects.filter(run__round=round, score=None).exists()

    _figures_come_with_their_uncertainty(round, snapshot)
    _lineage_leads_to_the_judgments_and_back(new, policy, snapshot)


def _figures_come_with_their_uncertainty(round: Round, snapshot: Snapshot) -> None:
    reward = evaluation.results_of(round.runs.get(stage=0))
    names = [figure.name for figure in reward.figures]
    assert names[:3] == ["accuracy", "accuracy_longer_wins", "accuracy_chance"]
    accuracy = reward.figures[0]
    assert accuracy.n == snapshot.counts["test"]
    known = accuracy.value is not None
    assert (accuracy.low <= accuracy.value <= accuracy.high) if known else "too few" in accuracy.note
    policy = evaluation.results_of(round.runs.get(stage=1))
    assert {"margin", "kl"} <= {figure.name for figure in policy.figures}
    assert 1 <= len(policy.pairs) <= 3
    assert all(pair.prompt for pair in policy.pairs)

    samples = round.runs.get(stage=2)
    assert evaluation.results_of(samples).notes
    assert evaluation.results_of(samples).pairs == [], "which text is new is not told before it is judged"
    Comparison.objects.filter(batch=round.batch).update(taken=F("overlap"), judged=F("overlap"), votes_a=F("overlap"))
    for pair in evaluation.results_of(samples).pairs:
        assert Sample.objects.get(run=samples, response__text=pair.new).artifact == samples.model


def _lineage_leads_to_the_judgments_and_back(new: Artifact, base: Artifact, snapshot: Snapshot) -> None:
    line = lineage.lineage_of(new)
    assert line.parents == [base]
    assert (line.recipe, line.snapshot) == ("dpo", snapshot)
    assert line.annotators == [("ann", snapshot.counts["pairs"])]
    assert line.judgments == snapshot.counts["judgments"]
    judgment = Judgment.objects.counted().first()
    assert lineage.snapshots_of_judgment(judgment) == [snapshot]
    names = [artifact.name for artifact in lineage.artifacts_of_judgment(judgment)]
    assert names == ["Round 1 reward model", "Round 1 policy (DPO)"]
