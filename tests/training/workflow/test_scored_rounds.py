"""A round ends with its own reward model's word on fresh samples: old against new, and what that word is worth."""

from collections.abc import Sequence
from typing import Any

import pytest

from annotate.models import Project, Prompt, Snapshot
from tests.factories import make_prompts
from tests.training.workflow.test_rounds import _done
from tests.training.workflow.test_sampling import append, line
from training.models import Artifact, Round, Run, RunState
from training.workflow import rounds, runs, sample_scores, sampling
from training.workflow.exceptions import BadConfig
from training.workflow.round_outcome import outcome_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def fresh(project: Project, prompts: list[Prompt]) -> list[Prompt]:
    return [*prompts, *make_prompts(project, 4, start=100)]


def up_to_its_samples(round: Round) -> Run:
    """The last stage, aimed and queued."""
    *earlier, samples = round.runs.order_by("stage")
    for stage in earlier:
        stage.refresh_from_db()
        _done(stage)
    samples.refresh_from_db()
    return samples


def sampled(run: Run, new: Sequence[float], old: Sequence[float]) -> Run:
    """Brought to its end with one response of each model to each prompt, scored so."""
    asked = [Prompt.objects.get(pk=key) for key in run.prompt_ids]
    for name, scores in {"new": new, "old": old}.items():
        facts = {"truncated": False}
        rows = zip(asked, scores, strict=True)
        append(run, *[line(prompt, name, 0, f"{name} {prompt}") | facts | {"score": score} for prompt, score in rows])
    runs.claim(run, "here:gpu0", "w:1")
    sampling.ingest_samples(run)
    sampling.summarize(run)
    runs.finish(run, RunState.SUCCEEDED)
    return run


def stages_of(run: Run) -> list[Run]:
    return list(run.round.runs.order_by("stage"))


@pytest.mark.parametrize("policy_recipe", ["dpo", "ppo"])
def test_the_samples_are_aimed_at_the_rounds_own_reward_model(
    project: Project, snapshot: Snapshot, policy: Artifact, policy_recipe: str
) -> None:
    round = rounds.start_round(project, snapshot, policy, policy=policy_recipe, prompts=3)
    assert round.runs.get(recipe="sample").reward_model is None, "there is none yet"
    samples = up_to_its_samples(round)
    assert samples.reward_model == Artifact.objects.get(run=round.runs.get(recipe="reward"))
    assert samples.reference_model == policy != samples.model


def test_without_the_option_and_in_rounds_of_before_nothing_is_scored(
    project: Project, snapshot: Snapshot, policy: Artifact
) -> None:
    declined = rounds.start_round(project, snapshot, policy, prompts=3, score_samples=False)
    samples = up_to_its_samples(declined)
    assert samples.reward_model is None
    samples.result = {"samples": 6, "finished": 6, "comparisons": 3, "identical": 0}  # as such a round has ended
    samples.state = RunState.SUCCEEDED
    samples.save()
    assert outcome_of(stages_of(samples)) is None
    assert Round(project=project).score_samples is False, "what a row of before has"


def test_asking_nobody_is_a_choice_only_where_the_samples_are_scored(
    project: Project, snapshot: Snapshot, policy: Artifact
) -> None:
    nobody = {"sample": {"pairs": "none"}}
    with pytest.raises(BadConfig, match="none was named"):
        rounds.start_round(project, snapshot, policy, nobody, prompts=3, score_samples=False)
    assert rounds.start_round(project, snapshot, policy, nobody, prompts=3).runs.count() == 3
    with pytest.raises(BadConfig, match="New is always compared with old"):
        rounds.start_round(project, snapshot, policy, {"sample": {"pairs": "closest"}}, prompts=3)


SIX = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        ([1.0, 1.1, 0.9, 1.2, 0.8, 1.0], "higher than the old one's"),
        ([-1.0, -1.1, -0.9, -1.2, -0.8, -1.0], "lower than the old one's"),
        ([2.0, -2.0, 1.0, -1.5, 0.5, 0.5], "the interval covers no change"),
        ([1.0, 1.0], "2 prompts are too few"),
    ],
)
def test_whether_the_score_has_risen_is_said_by_the_paired_difference(
    project: Project, snapshot: Snapshot, policy: Artifact, fresh: list[Prompt], gains: list[float], said: str
) -> None:
    """The prompts differ by more than the models do: unpaired, none of these would show."""
    round = rounds.start_round(project, snapshot, policy, prompts=len(gains))
    old = SIX[: len(gains)]
    run = sampled(up_to_its_samples(round), [one + gain for one, gain in zip(old, gains, strict=True)], old)
    outcome = outcome_of(stages_of(run))
    assert outcome is not None and said in outcome.said
    figures = {figure.name: figure for figure in outcome.scores.figures}
    assert figures["difference"].value == pytest.approx(sum(gains) / len(gains))
    assert figures["mean"].value - figures["old"].value == pytest.approx(figures["difference"].value)
    assert (figures["difference"].low is None) == (len(gains) < 5)


@pytest.mark.parametrize(("recipe", "why"), [("ppo", "AGAINST_IT"), ("dpo", "SAME_JUDGMENTS")])
def test_what_a_rise_is_worth_is_told_by_what_the_two_have_in_common(
    project: Project, snapshot: Snapshot, policy: Artifact, fresh: list[Prompt], recipe: str, why: str
) -> None:
    round = rounds.start_round(project, snapshot, policy, policy=recipe, prompts=2)
    _with_their_snapshot(run := sampled(up_to_its_samples(round), [1.0, 2.0], [0.0, 0.0]))
    assert sample_scores.warning_of(run) == str(getattr(sample_scores, why))
    assert outcome_of(stages_of(run)).scores.warning == sample_scores.warning_of(run)
    elsewhere = Artifact.objects.create(project=project, name="elsewhere", task="reward", location="/elsewhere")
    run.reward_model = elsewhere
    assert sample_scores.warning_of(run) == "", "one that has learned from something else may judge"
    run.model = policy
    assert sample_scores.warning_of(run) == ""


def _with_their_snapshot(run: Run) -> None:
    """As the supervisor stores a product; `_done` leaves it out."""
    for artifact in (run.model, run.reward_model):
        artifact.snapshot = artifact.run.snapshot
        artifact.save()


def test_cost_stands_beside_it_and_prompts_that_were_learned_from_are_counted(
    project: Project, snapshot: Snapshot, policy: Artifact, prompts: list[Prompt]
) -> None:
    """Four prompts are fresh; a round that asks for ten takes six that its snapshot holds, of which some are tested."""
    round = rounds.start_round(project, snapshot, policy, prompts=10)
    run = up_to_its_samples(round)
    change: dict[str, Any] = {"value": 1.05, "low": 1.01, "high": 1.1, "n": 12}
    perplexity = {"before": {"value": 9.0}, "after": {"value": 9.5}, "ratio": change}
    tax = {"documents": [{"name": "Texts", "hash": "h", **perplexity}]}
    run.model.manifest = {
        "recipe": "dpo",
        "metrics": {"kl": {"value": 0.2, "low": 0.1, "high": 0.3, "n": 7}, "tax": tax},
    }
    run.model.save()
    outcome = outcome_of(stages_of(sampled(run, [1.0] * 10, [0.0] * 10)))
    assert outcome is not None and outcome.kl is not None
    assert (outcome.kl.value, outcome.kl.n) == (0.2, 7)
    assert [(name, row.change.value, row.verdict) for name, row in outcome.tax] == [("Texts", 1.05, "worse")]
    seen = snapshot.items.filter(split="train", comparison__prompt__in=run.prompt_ids).count()
    assert outcome.known == seen > 0
    assert len(set(run.prompt_ids) & {prompt.pk for prompt in prompts}) == 4
