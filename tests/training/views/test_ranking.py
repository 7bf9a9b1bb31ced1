"""Scores of a sampling run: at its form, on its page, ranked, as files, and as demonstrations by a button."""

import csv
import io
import json

import pytest
from django.test import Client
from django.urls import reverse

from annotate.models import DemonstrationSet, Project, User
from annotate.workflow.guidelines import current_version, mark_read
from tests.factories import make_prompts
from tests.training.views.test_sampling import send
from training.models import Artifact, Run, RunState, Sample
from training.workflow import runs, sampling

pytestmark = pytest.mark.django_db
TEXTS = ["Water <b>it</b> rarely.", "Water it daily.", "Never water it."]


@pytest.fixture
def scorer(project: Project) -> Artifact:
    return Artifact.objects.create(project=project, name="the scorer", task="reward", location="/scorer")


@pytest.fixture
def scored(project: Project, base: Artifact, scorer: Artifact) -> Run:
    """Three responses to each of eight prompts, the last one the best; the run is over."""
    prompts = make_prompts(project, 8)
    config = {"samples_per_prompt": 3, "pairs": "closest"}
    run = sampling.start_sampling(project, base, config, prompts, reward_model=scorer)
    path = sampling.samples_of(run)
    path.parent.mkdir(parents=True)
    rows = [
        {"prompt": prompt.pk, "model": "new", "index": index, "text": text, "tokens": 4, "finished": True, "seed": 1}
        | {"score": number / 10 + 2.0 * index, "truncated": False}
        for number, prompt in enumerate(prompts)
        for index, text in enumerate(TEXTS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert runs.claim(run, "here:gpu0", "w:1")
    sampling.ingest_samples(run)
    sampling.summarize(run)
    assert runs.finish(run, RunState.SUCCEEDED)
    run.refresh_from_db()
    return run


def test_the_form_names_a_reward_model_and_the_pairs(as_lead: Client, base: Artifact, scorer: Artifact) -> None:
    make_prompts(base.project, 2)
    assert send(as_lead, base, reward_model=scorer.pk, **{"sample-pairs": "best_two"}).status_code == 302
    run = Run.objects.get()
    assert (run.reward_model, run.config["pairs"]) == (scorer, "best_two")
    page = as_lead.get(reverse("sampling_create", args=["garden"]) + f"?from={run.pk}")
    assert page.context["form"].initial["reward_model"] == scorer.pk


def test_the_form_says_at_the_field_what_cannot_be(as_lead: Client, base: Artifact, scorer: Artifact) -> None:
    make_prompts(base.project, 2)
    other = Artifact.objects.create(project=base.project, name="other", location="owner/other")
    unscored = send(as_lead, base, **{"sample-pairs": "closest"})
    assert "none was named" in str(unscored.context["settings"].errors["pairs"])
    compared = send(as_lead, base, reference=other.pk, reward_model=scorer.pk, **{"sample-pairs": "closest"})
    assert "New is always compared with old" in str(compared.context["settings"].errors["pairs"])
    policy = send(as_lead, base, reward_model=base.pk)
    assert policy.context["form"].errors["reward_model"]
    assert not Run.objects.exists()


def test_a_round_does_not_ask_about_pairs(as_lead: Client, base: Artifact, project: Project) -> None:
    page = as_lead.get(reverse("round_create", args=["garden"]))
    assert "samples_per_prompt" in page.context["stages"]["sample"].fields
    assert "pairs" not in page.context["stages"]["sample"].fields


def test_the_page_of_the_run_shows_mean_and_best_of_n_and_no_response(as_lead: Client, scored: Run) -> None:
    page = as_lead.get(reverse("run", args=["garden", scored.pk])).content.decode()
    assert "Mean score of the responses" in page and "2.35" in page
    assert 'data-x="3"' in page and "the scorer" in page
    found = scored.result["scores"]["best_of"]
    # 0.35 is the mean of the prompts; of three responses worth 0, 2 and 4 the best of two is worth 10/3.
    assert [one["value"] for one in found] == pytest.approx([2.35, 0.35 + 10 / 3, 4.35])


def test_ranked_responses_stand_in_order_and_are_sanitised(as_lead: Client, scored: Run) -> None:
    page = as_lead.get(reverse("run_ranking", args=["garden", scored.pk]))
    text = page.content.decode()
    assert len(page.context["rows"]) == 5
    assert text.index("Never water it.") < text.index("Water it daily.") < text.index("rarely.")
    assert "<b>it</b>" not in text and "&lt;b&gt;it" in text
    assert "4.0000" in text
    assert "page=2" in text
    second = as_lead.get(reverse("run_ranking", args=["garden", scored.pk]) + "?page=2")
    assert len(second.context["rows"]) == 3


def test_files_hold_every_response_with_its_score(as_lead: Client, scored: Run) -> None:
    answer = as_lead.get(reverse("ranking_jsonl", args=["garden", scored.pk]))
    lines = [json.loads(line) for line in b"".join(answer.streaming_content).decode().splitlines()]
    assert len(lines) == 8
    assert lines[0]["prompt"] == [{"role": "user", "content": "How do I grow plant number 0?"}]
    assert (lines[0]["responses"], lines[0]["scores"]) == (TEXTS[::-1], [4.0, 2.0, 0.0])
    table = b"".join(as_lead.get(reverse("ranking_csv", args=["garden", scored.pk])).streaming_content).decode()
    rows = list(csv.DictReader(io.StringIO(table)))
    assert len(rows) == 24
    assert (rows[1]["prompt"], rows[1]["rank"], rows[1]["score"]) == ("p0", "2", "2.0")


def test_the_button_makes_demonstrations_of_the_best(as_lead: Client, scored: Run) -> None:
    answer = as_lead.post(reverse("run_best", args=["garden", scored.pk]))
    made = DemonstrationSet.objects.get()
    assert answer.url == reverse("demonstration_set", args=["garden", made.pk])
    assert set(made.demonstrations.values_list("response", flat=True)) == {"Never water it."}
    as_lead.post(reverse("run_best", args=["garden", scored.pk]))
    assert DemonstrationSet.objects.count() == 1


def test_more_responses_make_another_set_under_a_name_of_its_own(as_lead: Client, scored: Run) -> None:
    """As after a run that was cancelled, shown, and resumed: the first set stays what it was."""
    last = scored.samples.order_by("-pk").values_list("response_id", flat=True)[:3]
    kept = list(scored.samples.filter(response_id__in=list(last)).values())
    scored.samples.filter(response_id__in=list(last)).delete()
    address, page = (reverse(name, args=["garden", scored.pk]) for name in ("run_best", "run"))
    named = f"Best of 3, run {scored.pk}"
    assert f'value="{named}"' in as_lead.get(page).content.decode()
    as_lead.post(address, {"name": named})
    Sample.objects.bulk_create(Sample(**fields) for fields in kept)
    refused = as_lead.post(address, {"name": named}, follow=True).content.decode()
    assert "Give this one another name" in refused
    as_lead.post(address, {"name": "All of them"})
    sizes = {made.name: made.demonstrations.count() for made in DemonstrationSet.objects.all()}
    assert sizes == {named: 7, "All of them": 8}


def test_who_may_see_scores(client: Client, scored: Run, ann: User, reviewer: User, stranger: User) -> None:
    ranking, best = (reverse(name, args=["garden", scored.pk]) for name in ("run_ranking", "run_best"))
    file = reverse("ranking_csv", args=["garden", scored.pk])
    for person, looks, makes in ((reviewer, 200, 403), (ann, 403, 403), (stranger, 404, 404)):
        client.force_login(person)
        assert client.get(ranking).status_code == client.get(file).status_code == looks
        assert client.post(best).status_code == makes
        assert (
            "Best of each prompt" in client.get(reverse("run", args=["garden", scored.pk])).content.decode()
        ) is False
    assert not DemonstrationSet.objects.exists()


def test_an_annotator_meets_no_score(client: Client, scored: Run, project: Project, ann: User) -> None:
    mark_read(version=current_version(project), user=ann)
    client.force_login(ann)
    card = client.post("/api/v1/projects/garden/next/")
    assert card.status_code == 200 and "water" in card.content.decode()
    assert "score" not in card.content.decode() and "the scorer" not in card.content.decode()
    page = client.get(reverse("judge", args=["garden"])).content.decode()
    assert "the scorer" not in page and "4.0000" not in page


def test_a_run_without_scores_says_so(as_lead: Client, project: Project, base: Artifact) -> None:
    run = sampling.start_sampling(project, base, {}, make_prompts(project, 2))
    page = as_lead.get(reverse("run_ranking", args=["garden", run.pk])).content.decode()
    assert "Nothing is ranked" in page
    assert 'id="scores"' not in as_lead.get(reverse("run", args=["garden", run.pk])).content.decode()
    said = as_lead.post(reverse("run_best", args=["garden", run.pk]), follow=True).content.decode()
    assert "has not ended yet" in said
