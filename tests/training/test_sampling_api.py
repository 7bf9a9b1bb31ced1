"""Sampling over the API and by the command: reward model, pairs, ranking, and the best as demonstrations."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from annotate.models import Batch, DemonstrationSet, Project, User
from tests.factories import make_prompts
from tests.training.test_api import post
from training.models import Artifact, Run, RunState, Sample
from training.workflow import runs, sampling

pytestmark = pytest.mark.django_db
SAMPLING, RUNS = "/api/v1/projects/garden/sampling/", "/api/v1/projects/garden/runs/"


@pytest.fixture
def as_lead(client: Client, lead: User) -> Client:
    client.force_login(lead)
    return client


@pytest.fixture
def base(project: Project) -> Artifact:
    make_prompts(project, 3)
    return Artifact.objects.create(project=project, name="base", location="owner/base")


@pytest.fixture
def scorer(project: Project) -> Artifact:
    return Artifact.objects.create(project=project, name="scorer", task="reward", location="/scorer")


def test_a_run_is_started_with_everything_named(as_lead: Client, base: Artifact, scorer: Artifact) -> None:
    config = {"samples_per_prompt": 4, "pairs": "best_two"}
    asked = {"model": base.pk, "reward_model": scorer.pk, "prompts": 2, "batch": "Third", "seed": 7}
    status, told = post(as_lead, SAMPLING, config=config, **asked)
    assert status == 201, told
    assert (told["recipe"], told["reward_model"], told["config"]["pairs"]) == ("sample", "scorer", "best_two")
    run = Run.objects.get()
    assert (run.batch.name, run.seed, len(run.prompt_ids), run.state) == ("Third", 7, 2, RunState.QUEUED)


@pytest.mark.parametrize(
    ("wrong", "field", "word"),
    [
        ({"reward_model": "base"}, "reward_model", "cannot be used here"),
        ({"model": "scorer"}, "model", "cannot be used here"),
        ({"reference": "base"}, "reference", "same model"),
        ({"config": {"pairs": "closest"}}, "sample.pairs", "none was named"),
        ({"config": {"pairs": "luckiest"}}, "sample.pairs", "best_two"),
        ({"reward_model": 10**6}, "reward_model", "no reward_model"),
    ],
)
def test_what_cannot_be_is_refused_by_field_and_leaves_nothing(
    as_lead: Client, base: Artifact, scorer: Artifact, wrong: dict[str, Any], field: str, word: str
) -> None:
    ids = {"base": base.pk, "scorer": scorer.pk}
    body = {"model": base.pk, "batch": "New"} | {
        name: ids.get(value, value) if isinstance(value, str) else value for name, value in wrong.items()
    }
    status, told = post(as_lead, SAMPLING, **body)
    assert status in (400, 404) and told["field"] == field and word in told["detail"]
    assert not Run.objects.exists() and not Batch.objects.exists()


def _end(run: Run, scores: tuple[float, ...]) -> None:
    path = sampling.samples_of(run)
    path.parent.mkdir(parents=True)
    facts = {"model": "new", "tokens": 3, "finished": True, "seed": 1, "truncated": False}
    rows = [
        {**facts, "prompt": prompt, "index": index, "text": f"text {index}", "score": score}
        for prompt in run.prompt_ids
        for index, score in enumerate(scores)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert runs.claim(run, "here:gpu0", "w:1")
    sampling.ingest_samples(run)
    sampling.summarize(run)
    assert runs.finish(run, RunState.SUCCEEDED)


def test_ranking_and_demonstrations(
    as_lead: Client, project: Project, base: Artifact, scorer: Artifact, ann: User, reviewer: User
) -> None:
    make_prompts(project, 9, start=10)
    run = sampling.start_sampling(project, base, {}, project.prompts.all(), reward_model=scorer)
    _end(run, (0.25, 1.5))
    told = as_lead.get(f"{RUNS}{run.pk}/ranking/?limit=2").json()
    assert (told["count"], len(told["results"])) == (12, 2)
    assert told["results"][0]["responses"] == ["text 1", "text 0"]
    assert told["results"][0]["scores"] == [1.5, 0.25]
    assert as_lead.get(f"{RUNS}{run.pk}/").json()["result"]["scores"]["mean"]["value"] == 0.875
    status, made = post(as_lead, f"{RUNS}{run.pk}/best/", name="The best")
    assert (status, made["name"], made["left_out"]) == (201, "The best", 0)
    assert post(as_lead, f"{RUNS}{run.pk}/best/")[0] == 200
    assert DemonstrationSet.objects.get().demonstrations.count() == 12
    for person, looks, makes in ((reviewer, 200, 403), (ann, 403, 403)):
        as_lead.force_login(person)
        assert as_lead.get(f"{RUNS}{run.pk}/ranking/").status_code == looks
        assert post(as_lead, f"{RUNS}{run.pk}/best/")[0] == makes
        assert post(as_lead, SAMPLING, model=base.pk)[0] == 403


def test_the_command_names_a_reward_model_and_pairs(project: Project, base: Artifact, scorer: Artifact) -> None:
    said = StringIO()
    asked = ["garden", "--reward-model", "scorer", "--samples-per-prompt", "4", "--set", "pairs=closest", "--json"]
    call_command("sample", *asked, stdout=said)
    run = Run.objects.get(pk=json.loads(said.getvalue())["run"])
    assert (run.reward_model, run.config["pairs"]) == (scorer, "closest")
    with pytest.raises(CommandError, match="no reward model called"):
        call_command("sample", "garden", "--reward-model", "base")
    with pytest.raises(CommandError, match="none was named"):
        call_command("sample", "garden", "--set", "pairs=closest")
    assert not Sample.objects.exists()
