"""Agreement on degrees: alpha over the signed scale, from the votes that have a place on it."""

import numpy as np
import pytest

from annotate.models import Degrees, Project, User
from annotate.statistics.estimate import Estimate
from annotate.statistics.krippendorff_alpha import krippendorff_alpha
from annotate.workflow.agreement import agreement_of
from annotate.workflow.agreement_parts import parts_of
from annotate.workflow.judgment_columns import read_columns
from tests.factories import judge, make_comparisons

pytestmark = pytest.mark.django_db
# (of ann, of ben), b above zero, 0 a tie, None: a, and no degree was asked.
VOTES = [(-3, -2), (-1, 1), (0, 0), (2, 3), (3, 3), (1, 0), (-2, -3)]


@pytest.fixture
def judged(project: Project, ann: User, ben: User) -> Project:
    project.degrees = Degrees.THREE
    project.save()
    make_comparisons(project, len(VOTES))
    for person, votes in zip((ann, ben), zip(*VOTES, strict=True), strict=True):
        for vote in votes:
            judge(project, person, "tie" if vote == 0 else "a" if vote < 0 else "b", abs(vote) or None)
    return project


def test_it_is_ordinal_alpha_over_the_seven_answers(judged: Project) -> None:
    counts = np.zeros((len(VOTES), 7), dtype=int)
    for row, pair in enumerate(VOTES):
        for vote in pair:
            counts[row, vote + 3] += 1
    expected = krippendorff_alpha(counts, metric="ordinal")
    found = agreement_of(project=judged).degrees
    assert isinstance(found, Estimate) and isinstance(expected, Estimate)
    assert found == expected and found.n == len(VOTES) and found.low < found.value < found.high
    assert parts_of(judged, read_columns(judged), [])["overall"]["alpha_of_degrees"] == found.as_json()


def test_a_side_without_a_degree_has_no_place_on_the_scale(judged: Project, ann: User, ben: User) -> None:
    before = agreement_of(project=judged).degrees
    judged.degrees = Degrees.ONE
    judged.save()
    make_comparisons(judged, 2, start=50)
    for person in (ann, ben):
        judge(judged, person, "a")
        judge(judged, person, "b")
    assert agreement_of(project=judged).degrees == before


def test_ties_where_nobody_was_asked_are_no_agreement_on_degrees(judged: Project, ann: User, ben: User) -> None:
    """But a tie of two who were asked is, though neither says a degree: the third of VOTES."""
    before = agreement_of(project=judged).degrees
    judged.degrees = Degrees.ONE
    judged.save()
    make_comparisons(judged, 5, start=50)
    for person in (ann, ben):
        for _again in range(5):
            judge(judged, person, "tie")
    assert agreement_of(project=judged).degrees == before


def test_where_nobody_was_asked_there_is_no_such_number(project: Project, ann: User, ben: User) -> None:
    make_comparisons(project, 2)
    for person in (ann, ben):
        judge(project, person, "a")
        judge(project, person, "tie")
    assert "alpha_of_degrees" not in agreement_of(project=project).as_json()
    assert "alpha_of_degrees" not in parts_of(project, read_columns(project, weeks=True), ["week"])["overall"]
