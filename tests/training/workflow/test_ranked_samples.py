"""Ranked responses as files, and the best of each prompt as demonstrations."""

import json

import pytest

from annotate.models import Project, Prompt
from tests.factories import make_prompts
from training.models import Artifact, Run, RunState
from training.workflow import runs, sampling
from training.workflow.exceptions import NotScored
from training.workflow.ranked_samples import as_json, as_rows, demonstrate_best, ranked

pytestmark = pytest.mark.django_db


@pytest.fixture
def scorer(project: Project) -> Artifact:
    return Artifact.objects.create(project=project, name="scorer", task="reward", location="/scorer")


@pytest.fixture
def answered(project: Project, scorer: Artifact) -> Run:
    """Three responses to each of eight prompts; the best was cut, the second is empty for the last prompt."""
    policy = Artifact.objects.create(project=project, name="policy", location="owner/policy")
    prompts = make_prompts(project, 8)
    run = sampling.start_sampling(project, policy, {"samples_per_prompt": 3}, prompts, reward_model=scorer)
    path = sampling.samples_of(run)
    path.parent.mkdir(parents=True)
    path.write_text("".join(_lines(prompt, is_last=prompt == prompts[-1]) for prompt in prompts))
    sampling.ingest_samples(run)
    return run


def _lines(prompt: Prompt, *, is_last: bool) -> str:
    facts = {"prompt": prompt.pk, "model": "new", "tokens": 3, "seed": 1, "truncated": False}
    texts = ["poor", "" if is_last else "good", "cut at its b"]
    rows = [
        {**facts, "index": index, "text": text, "score": score, "finished": index < 2 and not (is_last and index == 0)}
        for index, (text, score) in enumerate(zip(texts, [-1.5, 0.5, 2.0], strict=True))
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


def end(run: Run) -> Run:
    assert runs.claim(run, "here:gpu0", "w:1")
    assert runs.finish(run, RunState.SUCCEEDED)
    run.refresh_from_db()
    return run


def test_each_prompt_has_its_responses_in_order_of_score(answered: Run) -> None:
    found = list(ranked(answered))
    assert len(found) == 8
    told = as_json(found[0])
    assert told["prompt"] == found[0].prompt.messages
    assert (told["responses"], told["scores"]) == (["cut at its b", "good", "poor"], [2.0, 0.5, -1.5])
    assert told["finished"] == [False, True, True]
    assert list(as_rows(found[0]))[1] == [found[0].prompt.key, 2, 0.5, 3, True, "good"]


def test_the_best_whole_response_becomes_the_demonstration(answered: Run, project: Project) -> None:
    with pytest.raises(NotScored, match="not ended"):
        demonstrate_best(answered)
    end(answered)
    made = demonstrate_best(answered)
    assert (made.created, made.left_out) == (True, 1)
    assert made.set.name == f"Best of 3, run {answered.pk}"
    assert set(made.set.demonstrations.values_list("response", flat=True)) == {"good"}
    assert made.set.demonstrations.count() == 7
    again = demonstrate_best(answered, name="by another name")
    assert (again.set, again.created) == (made.set, False)


def test_a_run_without_scores_has_no_best(project: Project) -> None:
    policy = Artifact.objects.create(project=project, name="policy", location="owner/policy")
    run = end(sampling.start_sampling(project, policy, {}, make_prompts(project, 2)))
    with pytest.raises(NotScored, match="No response was scored"):
        demonstrate_best(run)
    assert not project.demonstration_sets.exists()
