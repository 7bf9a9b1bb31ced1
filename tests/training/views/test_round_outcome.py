"""The page of a round begins with whether the reward has risen; the form, API and command let one do without."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from annotate.models import Project, Snapshot, User
from annotate.workflow.guidelines import current_version, mark_read
from tests.training.views.conftest import begin, complete, figure
from tests.training.views.test_round_methods import least
from tests.training.workflow.test_scored_rounds import sampled
from training.models import Artifact, Round, Run, RunState
from training.workflow import rounds, runs

pytestmark = pytest.mark.django_db
FORM, API = "/p/garden/rounds/new/", "/api/v1/projects/garden/rounds/"


@pytest.fixture
def ended(project: Project, snapshot: Snapshot, base: Artifact) -> Run:
    """The scored samples of a round by DPO, whose scores are told apart from any other number by what they are."""
    round = rounds.start_round(project, snapshot, base, prompts=6)
    complete(round.runs.get(stage=0), {"accuracy": figure(0.83)})
    complete(round.runs.get(stage=1), {"margin": figure(0.31), "kl": figure(0.22)})
    old = [7.125 + n for n in range(6)]
    new = [one + gain for one, gain in zip(old, [1.0, 1.1, 0.9, 1.2, 0.8, 1.0], strict=True)]
    return sampled(round.runs.get(stage=2), new, old)


def test_the_page_answers_first_whether_the_reward_has_risen(as_lead: Client, ended: Run) -> None:
    page = as_lead.get(reverse("round", args=["garden", 1])).content.decode()
    assert "Did the reward rise on fresh prompts?" in page
    for words in (
        "higher than the old one&#x27;s",
        "Difference in score, new less old, prompt by prompt",
        "0.852 to 1.15",  # 1 ± t of five degrees of freedom, 2.571, times the deviation 0.1414 over √6
        "Mean score of the responses, old",
        "9.62",
        "10.6",
        "KL against the reference",
        "have learned from the same judgments",
        "A rise in score alone proves nothing",
        f"{reverse('ratings', args=['garden'])}?round=1",
    ):
        assert words in page, words
    assert page.index("Did the reward rise") < page.index('id="results-')
    assert (
        "A rise in score alone proves nothing"
        in as_lead.get(reverse("run", args=["garden", ended.pk])).content.decode()
    )


def test_a_round_that_was_not_scored_has_the_page_that_it_had(as_lead: Client, round: Round) -> None:
    Round.objects.filter(pk=round.pk).update(score_samples=False)
    complete(round.runs.get(stage=0), {"accuracy": figure(0.83)})
    complete(round.runs.get(stage=1), {"kl": figure(0.22)})
    last = begin(round.runs.get(stage=2))
    assert runs.finish(last, RunState.SUCCEEDED)
    Run.objects.filter(pk=last.pk).update(result={"samples": 8, "finished": 8, "comparisons": 4})
    page = as_lead.get(reverse("round", args=["garden", 1])).content.decode()
    assert "Did the reward rise" not in page and "8 responses written, 4 comparisons made." in page


def test_annotators_see_no_score(client: Client, project: Project, ended: Run, ann: User) -> None:
    mark_read(version=current_version(project), user=ann)
    client.force_login(ann)
    page = client.post(reverse("judge_next", args=["garden"]), headers={"HX-Request": "true"}).content.decode()
    assert "new " in page and "old " in page, "it is a pair of the round that is judged"
    assert "7.125" not in page and "8.125" not in page and "score" not in page.lower()
    assert client.get(reverse("round", args=["garden", 1])).status_code == 403


@pytest.mark.parametrize(("box", "scored"), [({"score_samples": "on"}, True), ({}, False)])
def test_the_form_has_a_box_that_is_ticked_as_it_comes(
    as_lead: Client, snapshot: Snapshot, base: Artifact, box: dict[str, str], scored: bool
) -> None:
    page = as_lead.get(FORM).content.decode()
    assert 'name="score_samples"' in page and page.split('name="score_samples"')[1].split(">")[0].count("checked") == 1
    assert as_lead.post(FORM, least(snapshot, base, **box)).status_code == 302
    assert Round.objects.get().score_samples is scored


@pytest.mark.parametrize(("more", "scored"), [({}, True), ({"score_samples": False}, False)])
def test_api_and_command_score_unless_told_not_to(
    as_lead: Client, snapshot: Snapshot, base: Artifact, more: dict[str, Any], scored: bool
) -> None:
    asked = {"snapshot": snapshot.number, "base_policy": base.pk, "prompts": 2, **more}
    told = as_lead.post(API, json.dumps(asked), content_type="application/json")
    assert told.status_code == 201 and told.json()["score_samples"] is scored
    call_command("round", "garden", *([] if scored else ["--no-score-samples"]), stdout=StringIO())
    assert list(Round.objects.values_list("score_samples", flat=True)) == [scored, scored]
