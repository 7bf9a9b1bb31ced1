"""Annotators against final words: in the command, on the page, in CSV; who decides does not flatter themselves."""

import csv
import io
import json

import pytest
from django.core.management import call_command
from django.test import Client

from annotate.models import Comparison, Project, User
from annotate.workflow import agreement_summary
from annotate.workflow.agreement import agreement_of
from tests.annotate.workflow.test_adjudication import decide
from tests.factories import judge_all, make_comparisons

pytestmark = pytest.mark.django_db
FEW = 20


@pytest.fixture
def judged(project: Project, ann: User, ben: User, reviewer: User) -> list[Comparison]:
    """Twelve on which ann says a and ben b; a is right of the first nine, the tenth is bad, two are undecided."""
    made = make_comparisons(project, 12)
    judge_all(project, ann, ["a"] * 12)
    judge_all(project, ben, ["b"] * 12)
    for comparison in made[:9]:
        decide(comparison, reviewer, "a")
    decide(made[9], reviewer, "bad", reason="same")
    return made


def _json(*arguments: str) -> dict:
    out = io.StringIO()
    call_command("agreement", "garden", "--json", "--bootstrap", "20", *arguments, stdout=out)
    return json.loads(out.getvalue())


def test_the_command_gives_value_interval_and_n(judged: list[Comparison]) -> None:
    report = _json()
    assert (report["n_adjudicated"], report["n_bad"]) == (9, 1)
    people = {each["annotator"]: each["raw_agreement"] for each in report["annotators_against_adjudicated"]}
    assert (people["ann"]["value"], people["ann"]["n"]) == (1.0, 9)
    assert (people["ben"]["value"], people["ben"]["n"]) == (0.0, 9)
    assert 0.6 < people["ann"]["low"] < 1 and people["ben"]["high"] == pytest.approx(1 - people["ann"]["low"])
    assert report["against_adjudicated"]["value"] == 0.5
    groups = {group["group"]: group for group in _json("--by", "annotator")["groups"]}
    assert groups["ann"]["adjudicated"]["value"] == 1.0 and "leave_one_out" in groups["ann"]
    out = io.StringIO()
    call_command("agreement", "garden", "--bootstrap", "20", stdout=out)
    assert "ann – adjudicated: raw 1.000" in out.getvalue()


def test_nothing_adjudicated_is_not_defined_with_its_reason(project: Project, ann: User) -> None:
    for n in (0, 2):
        make_comparisons(project, n, batch=f"Batch {n}")
        judge_all(project, ann, ["a"] * n)
        report = _json()
        assert report["against_adjudicated"] == {"value": None, "reason": "no judged item has a gold label"}
        assert report["annotators_against_adjudicated"] == []


def test_a_judgment_of_ones_own_decision_is_left_out(project: Project, judged: list[Comparison], ann: User) -> None:
    for comparison in judged[:4]:
        decide(comparison, ann, "a")
    people = {each.annotator: each for each in agreement_of(project=project, bootstrap=20).adjudicated.compared}
    assert people[ann.pk].n == 5


def test_the_page_and_its_csv_show_them_beside_the_majority_of_the_others(
    client: Client, judged: list[Comparison], reviewer: User
) -> None:
    client.force_login(reviewer)
    html = client.get("/p/garden/agreement/").content.decode()
    assert "Against final words" in html and "Final words: 9," in html
    rows = csv.DictReader(io.StringIO(client.get("/p/garden/agreement/parts.csv?by=annotator").content.decode()))
    found = {row["annotator"]: (row["adjudicated"], row["adjudicated_n"], row["raw_n"]) for row in rows}
    assert found == {"ann": ("1.0", "9", "12"), "ben": ("0.0", "9", "12")}


def test_a_kept_summary_is_old_once_a_word_is_spoken(
    monkeypatch: pytest.MonkeyPatch, project: Project, judged: list[Comparison], reviewer: User, client: Client
) -> None:
    monkeypatch.setattr(agreement_summary, "LIVE", FEW)
    assert agreement_summary.refresh_summary(project)
    assert not agreement_summary.summary_for(project, "tag").is_stale
    decide(judged[10], reviewer, "b")
    assert agreement_summary.summary_for(project, "tag").is_stale
    # One that was kept before there were final words is shown without them.
    kept = project.agreement_summary
    kept.body.pop("adjudicated")
    kept.save()
    client.force_login(reviewer)
    assert client.get("/p/garden/agreement/").status_code == 200
