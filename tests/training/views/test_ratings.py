"""The ratings page: numbers with intervals, why there are none, filters, kept numbers, who may see it."""

import csv
import io
import json

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from annotate.models import Project, User
from tests.training.compared import bring, record, tournament
from training.models import Artifact
from training.workflow import reports
from training.workflow.reports import Kind

pytestmark = pytest.mark.django_db
PAGE = "/p/garden/ratings/"
STRENGTHS = {"alpha": 0.9, "beta": 0.8, "gamma": -1.0}


@pytest.fixture
def judged(project: Project) -> Project:
    bring(project, tournament(STRENGTHS, 120))
    return project


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Every project is large; the queries that a worker is asked for."""
    kind = Kind("ratings", 3, reports.RATINGS.compute)
    asked: list[dict] = []
    for module in ("training.views.ratings", "training.api.reports"):
        monkeypatch.setattr(f"{module}.RATINGS", kind)
        monkeypatch.setattr(f"{module}.ask_for_report", lambda _project, _kind, query: asked.append(query))
    return asked


def test_the_page_shows_ratings_groups_and_win_rates(as_lead: Client, judged: Project) -> None:
    artifact = Artifact.objects.create(project=judged, name="alpha", location="owner/alpha")
    html = as_lead.get(PAGE).content.decode()
    assert f'<a href="/p/garden/models/{artifact.pk}/">alpha</a>' in html
    assert 'data-rating-low="' in html and "Group 1, not distinguishable" in html and 'data-name="gamma"' in html
    assert 'aria-current="page">Ratings' in html and "n = " in html


def test_a_model_that_never_lost_is_named_and_no_number_is_made_up(as_lead: Client, project: Project) -> None:
    bring(project, [record(n, ("best", "other"), ["a"]) for n in range(5)])
    html = as_lead.get(PAGE).content.decode()
    assert "There is no rating, because:" in html and "best: never lost to, and never tied with" in html
    assert "nan" not in html.lower() and "Elo" not in html and "100 %" in html


def test_nothing_judged_and_unnamed_models_say_so(as_lead: Client, project: Project) -> None:
    assert "No two models have been compared yet" in as_lead.get(PAGE).content.decode()
    bring(project, [record(0, None, ["a", "b"])])
    assert "2 judgments are left out because the import did not name the models." in as_lead.get(PAGE).content.decode()


def test_the_page_says_what_the_intervals_are_over(as_lead: Client, judged: Project) -> None:
    html = as_lead.get(PAGE).content.decode()
    assert "The intervals are over prompts" in html and "others may have other habits" not in html, "no side is known"
    few = as_lead.get(PAGE, {"tag": "none of them"}).content.decode()
    assert "The intervals are over" not in few


def test_a_filter_changes_the_numbers_and_stays_chosen(as_lead: Client, judged: Project) -> None:
    html = as_lead.get(PAGE, {"tag": "hard"}).content.decode()
    assert '<option value="hard" selected>' in html and '<div class="value">60</div>' in html
    fragment = as_lead.get(PAGE, {"tag": "hard"}, headers={"HX-Request": "true"}).content.decode()
    assert fragment.strip().startswith('<div id="figures"') and "<html" not in fragment
    assert as_lead.get(PAGE, {"round": "soon"}).status_code == 400


def test_names_are_text(as_lead: Client, project: Project) -> None:
    name = '<img src=x onerror="1">'
    bring(project, [record(0, (name, "=1+1"), ["a"]), record(1, (name, "=1+1"), ["b"])])
    assert name not in as_lead.get(PAGE).content.decode()
    rows = list(csv.DictReader(io.StringIO(as_lead.get("/p/garden/ratings.csv").content.decode())))
    assert {row["model"] for row in rows} == {name, "'=1+1"}


def test_the_file_has_what_the_page_shows(as_lead: Client, judged: Project) -> None:
    rows = list(csv.DictReader(io.StringIO(as_lead.get("/p/garden/ratings.csv").content.decode())))
    assert [set(row) >= {"model", "rating", "elo_low", "wins"} for row in rows] == [True] * 3
    assert float(rows[0]["low"]) < float(rows[0]["rating"]) < float(rows[0]["high"])
    rates = list(csv.DictReader(io.StringIO(as_lead.get("/p/garden/win-rates.csv?tag=hard").content.decode())))
    assert len(rates) == 3 and sum(int(row["n"]) for row in rates) == 60
    assert all(float(row["low"]) < float(row["win_rate"]) < float(row["high"]) for row in rates)


def test_a_large_project_is_shown_as_it_was_kept(
    as_lead: Client, judged: Project, asked: list[dict], django_assert_max_num_queries: object
) -> None:
    assert "being computed" in as_lead.get(PAGE).content.decode() and len(asked) == 1
    assert "240" in as_lead.post(PAGE + "refresh/", follow=True).content.decode()
    with django_assert_max_num_queries(9):
        html = as_lead.get(PAGE).content.decode()
    assert 'Computed <time datetime="20' in html and len(asked) == 1
    bring(judged, [record(500, ("alpha", "beta"), ["a"])], "more.jsonl")
    assert "judgments have come since" in as_lead.get(PAGE).content.decode() and len(asked) == 2


def test_page_api_and_command_say_the_same(as_lead: Client, judged: Project) -> None:
    out = io.StringIO()
    call_command("ratings", "garden", "--tag", "hard", "--json", stdout=out)
    said = json.loads(out.getvalue())
    told = as_lead.get("/api/v1/projects/garden/ratings/", {"tag": "hard"}).json()
    assert told.pop("computed_at") and told.pop("is_stale") is False
    assert told == said and said["filters"]["tag"] == "hard"
    assert as_lead.get("/api/v1/projects/garden/ratings/", {"round": "x"}).json()["field"] == "round"


def test_until_a_large_project_is_computed_the_api_answers_202_and_a_file_503(
    as_lead: Client, judged: Project, asked: list[dict]
) -> None:
    assert as_lead.get("/api/v1/projects/garden/ratings/").status_code == 202 and len(asked) == 1
    for table in ("ratings.csv", "win-rates.csv"):
        assert as_lead.get(f"/p/garden/{table}").status_code == 503
    assert len(asked) == 3


def test_the_command_speaks_to_people_too(judged: Project) -> None:
    out = io.StringIO()
    call_command("ratings", "garden", stdout=out)
    assert "cannot be told apart: " in out.getvalue() and "alpha against" in out.getvalue()
    with pytest.raises(CommandError, match="round=x is not a number"):
        call_command("ratings", "garden", "--round", "x")


def test_an_annotator_does_not_learn_who_wrote_what(client: Client, judged: Project, ann: User) -> None:
    client.force_login(ann)
    for page in (
        PAGE,
        "/p/garden/ratings.csv",
        "/p/garden/win-rates.csv",
        "/p/garden/label-value/",
        "/api/v1/projects/garden/ratings/",
    ):
        assert client.get(page).status_code == 403
