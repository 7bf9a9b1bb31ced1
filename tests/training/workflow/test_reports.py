"""Reports of large projects are kept, are old when judgments have come, and are as many as their questions."""

from collections.abc import Iterator

import pytest

from annotate.models import Project, User
from annotate.workflow.guidelines import current_version, mark_read
from tests.annotate.workflow.test_adjudication import decide
from tests.training.compared import bring, record, tournament
from training.models import Artifact, KeptReport
from training.tasks import refresh_report as task
from training.workflow import reports
from training.workflow.rating_filters import RatingFilters
from training.workflow.reports import Kind, refresh_report, report_for

pytestmark = pytest.mark.django_db
ALL = RatingFilters().as_query()


@pytest.fixture
def ratings(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kind]:
    """Of a project that is too large to be computed by looking."""
    bring(project, tournament({"x": 0.3, "y": -0.3}, 20))
    kind = Kind("ratings", 3, reports.RATINGS.compute)
    monkeypatch.setitem(reports.KINDS, "ratings", kind)
    yield kind


def test_looking_computes_nothing_and_a_worker_does(project: Project, ratings: Kind) -> None:
    assert report_for(project, ratings, ALL).body is None and not KeptReport.objects.exists()
    assert task(project.pk, "ratings", ALL) is True
    kept = report_for(project, ratings, ALL)
    assert kept.body["n_judgments"] == 40 and not kept.is_stale and kept.made_at
    assert task(project.pk, "ratings", ALL) is False


def test_new_judgments_and_new_models_make_it_old(project: Project, ratings: Kind) -> None:
    refresh_report(project, ratings, ALL)
    bring(project, [record(100, ("x", "y"), ["a"])], "more.jsonl")
    assert report_for(project, ratings, ALL).is_stale
    refresh_report(project, ratings, ALL)
    assert not report_for(project, ratings, ALL).is_stale
    Artifact.objects.create(project=project, name="x", location="owner/x")
    assert report_for(project, ratings, ALL).is_stale


def test_a_final_word_makes_it_old(project: Project, ratings: Kind, lead: User) -> None:
    refresh_report(project, ratings, ALL)
    mark_read(version=current_version(project), user=lead)
    decide(project.comparisons.first(), lead, "bad", reason="broken")
    assert report_for(project, ratings, ALL).is_stale
    refresh_report(project, ratings, ALL)
    assert report_for(project, ratings, ALL).body["left_out"]["bad"] == 2


def test_every_question_is_kept_by_itself_and_the_oldest_are_forgotten(
    project: Project, ratings: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "MOST_KEPT", 2)
    questions = [RatingFilters(tag=tag).as_query() for tag in ("hard", "easy", "other")]
    for query in questions:
        refresh_report(project, ratings, query)
    assert [report_for(project, ratings, query).body is None for query in questions] == [True, False, False]


def test_a_small_project_is_computed_at_once(project: Project) -> None:
    summary = report_for(project, reports.RATINGS, ALL)
    assert summary.body["n_judgments"] == 0 and not summary.is_stale
    assert refresh_report(project, reports.RATINGS, ALL) is False
