"""The page on the value of labels: advice, what each further judgment brings, reward models, kept numbers."""

import csv
import io
import json

import pytest
from django.core.management import call_command
from django.test import Client

from annotate.models import Project
from tests.training.compared import bring, record, tournament
from training.workflow import reports
from training.workflow.reports import Kind

pytestmark = pytest.mark.django_db
PAGE = "/p/garden/label-value/"


@pytest.fixture
def judged(project: Project) -> Project:
    bring(project, tournament({"alpha": 0.5, "beta": -0.5}, 60, votes=3))
    return project


def test_the_page_says_what_more_would_bring_and_when_to_stop(as_lead: Client, judged: Project) -> None:
    html = as_lead.get(PAGE, {"worth": "2"}).content.decode()
    assert "Stop: no number of further judgments is worth its price." in html
    assert "About 1 more judgment of each comparison would bring +" in html and "for 60 judgments" in html
    html = as_lead.get(PAGE, {"worth": "1000"}).content.decode()
    assert "Go on: 5 more judgments of each comparison" in html and "for 300 judgments" in html
    assert 'data-kind="expected"' in html and 'value="1000"' in html


def test_without_reward_models_of_three_sizes_the_page_says_so(as_lead: Client, judged: Project) -> None:
    html = as_lead.get(PAGE).content.decode()
    assert "The project has 0 reward models" in html and "snapshots of three sizes or more" in html


def test_too_little_to_tell_is_a_sentence_and_no_number(as_lead: Client, project: Project) -> None:
    assert "Nothing has been judged yet" in as_lead.get(PAGE).content.decode()
    bring(project, [record(0, ("x", "y"), ["a"])])
    html = as_lead.get(PAGE).content.decode()
    assert "The value of labels is not known yet" in html and "nan" not in html.lower()


def test_another_worth_changes_the_advice_alone(as_lead: Client, judged: Project) -> None:
    fragment = as_lead.get(PAGE, {"worth": "2"}, headers={"HX-Request": "true"}).content.decode()
    assert fragment.strip().startswith('<section id="advice"') and "<table" not in fragment
    refused = as_lead.get(PAGE, {"worth": "much"})
    assert refused.status_code == 400
    assert f'<a class="btn" href="{PAGE}">' in refused.content.decode()


def test_a_large_project_is_shown_as_it_was_kept(
    as_lead: Client, judged: Project, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: object
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("training.views.label_value.LABEL_VALUE", Kind("label_value", 3, reports.LABEL_VALUE.compute))
    monkeypatch.setattr("training.views.label_value.ask_for_report", lambda *_given: asked.append("asked"))
    assert "being computed" in as_lead.get(PAGE).content.decode() and asked
    assert "180 judgments of 60" in as_lead.post(PAGE + "refresh/?worth=7", follow=True).content.decode()
    with django_assert_max_num_queries(8):
        assert 'Computed <time datetime="20' in as_lead.get(PAGE).content.decode()


def test_page_api_and_command_say_the_same(as_lead: Client, judged: Project) -> None:
    out = io.StringIO()
    call_command("label_value", "garden", "--worth", "50", "--json", stdout=out)
    said = json.loads(out.getvalue())
    told = as_lead.get("/api/v1/projects/garden/label-value/", {"worth": "50"}).json()
    assert told.pop("computed_at") and told.pop("is_stale") is False
    assert told == said and said["advice"]["verdict"] in ("stop", "go_on", "unclear")
    rows = list(csv.DictReader(io.StringIO(as_lead.get("/p/garden/label-value.csv").content.decode())))
    assert {row["table"] for row in rows} >= {"right_labels_by_judgments", "alpha_expected_by_judgments"}
    out = io.StringIO()
    call_command("label_value", "garden", stdout=out)
    assert "right labels with 3 judgments: 0." in out.getvalue() and "three sizes" in out.getvalue()
