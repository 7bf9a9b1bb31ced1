"""Snapshots of votes with degrees: how strong a preference is, and that nothing changes where nobody was asked."""

from itertools import product
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from annotate.models import Aggregation, Comparison, Degree, Degrees, Judgment, Project, Role, Snapshot, Split, User
from annotate.statistics.judgments import A
from annotate.statistics.judgments import B as B_WINS
from annotate.statistics.majority import majority_votes
from annotate.workflow.guidelines import current_version, mark_read
from annotate.workflow.projects import create_project, set_member
from annotate.workflow.snapshot_rows import Row, Vote
from annotate.workflow.snapshots import freeze
from tests.annotate.workflow.test_adjudication import decide
from tests.annotate.workflow.test_snapshot_rows import CAST, CHOICES, _judged
from tests.factories import judge, make_comparisons, make_user

pytestmark = pytest.mark.django_db
# Frozen by the version before there were degrees.
BEFORE = "ce302a4f56c69975e0b228f2e1c34bd15720cfd5b7ad3e43a5b98aa6e3947324"
S, B, M = Degree


@pytest.fixture
def graded(lead: User) -> Project:
    """Votes of three: much and better for a; slightly for a, against much for b twice; a tie; a without a degree."""
    project = create_project(
        slug="orchard", name="Orchard", manager=lead, overlap=3, degrees=Degrees.THREE, guideline="Help.", summary="1"
    )
    make_comparisons(project, 5)
    answers = {
        "annabel": [("a", M), ("a", S), ("tie", None), ("a", S), ("b", M)],
        "benjamin": [("a", B), ("b", M), ("tie", None), ("a", S), ("b", M)],
        "cemal": [("a", B), ("b", M), ("a", M), ("tie", None), ("b", M)],
    }
    for name in CAST:
        user = make_user(name)
        set_member(project=project, user=user, role=Role.ANNOTATOR)
        mark_read(version=current_version(project), user=user)
        for choice, degree in answers[name]:
            judge(project, user, choice, degree)
    return project


def _rows(snapshot: Snapshot, name: str = "train") -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in pq.read_table(Path(snapshot.folder) / f"{name}.parquet").to_pylist()}


def _strength(soft_label: float, *votes: tuple[str, int | None], a_wins: bool = True, word: int | None = None) -> float:
    given = [Vote(n, choice, str(n), degree) for n, (choice, degree) in enumerate(votes)]
    return Row(Comparison(), a_wins, soft_label, given, Split.TRAIN, word).strength


def test_where_nobody_was_asked_the_hash_is_the_one_it_was_before(lead: User) -> None:
    project = _judged("orchard", lead, [make_user(name, first_name=name) for name in CHOICES])
    snapshot, _created = freeze(project=project)
    assert snapshot.content_hash == BEFORE
    assert "degrees" not in pq.read_schema(Path(snapshot.folder) / "train.parquet").names


def test_the_strength_of_a_row_is_the_mean_degree_toward_the_chosen_response(graded: Project) -> None:
    rows = _rows(freeze(project=graded, test_share=0)[0])
    assert {key: row["strength"] for key, row in rows.items()} == pytest.approx(
        {"c-p0": 7 / 9, "c-p1": 5 / 9, "c-p3": 2 / 9, "c-p4": 1.0}
    )
    assert {key: row["degrees"] for key, row in rows.items()} == {
        "c-p0": [2, 2, 3], "c-p1": [-1, 3, 3], "c-p3": [1, 1], "c-p4": [3, 3, 3],
    }  # fmt: skip
    assert rows["c-p0"]["soft_label"] == 1 and rows["c-p4"]["soft_label"] == 1, "degrees are no doubt"
    tie = _rows(freeze(project=graded, test_share=0)[0], "ties_train")["c-p2"]
    assert (tie["strength"], tie["degrees"]) == (0, [3])


def test_one_vote_is_as_strong_as_its_degree() -> None:
    assert [_strength(1.0, ("a", degree)) for degree in (S, B, M)] == pytest.approx([1 / 3, 2 / 3, 1])
    assert _strength(1.0, ("b", S), a_wins=False) == pytest.approx(1 / 3)


def test_a_vote_without_a_degree_counts_in_full_beside_one_that_has_one() -> None:
    assert _strength(1.0, ("a", None), ("a", S)) == pytest.approx(2 / 3)
    assert _strength(2 / 3, ("a", S), ("a", S), ("b", None)) == 0, "more weight against it than for it"


def test_what_is_decided_against_its_votes_has_no_strength() -> None:
    assert _strength(0.9, ("b", M), ("a", S), ("b", B)) == 0
    assert _strength(0.5, ("a", M), ("tie", None), ("tie", None)) == 0, "a tie"


@pytest.mark.parametrize("aggregation", Aggregation.values)
def test_without_any_degree_it_is_how_far_the_votes_are_from_even(lead: User, aggregation: str) -> None:
    """Whatever is made of them: where an aggregation is sure of a label, nobody prefers it the more for that."""
    project = _judged("orchard", lead, [make_user(name, first_name=name) for name in CHOICES])
    rows = _rows(freeze(project=project, aggregation=aggregation, test_share=0)[0])
    for row in rows.values():
        ahead = row["votes_chosen"] - row["votes_rejected"]
        assert row["strength"] == pytest.approx(max(0, ahead) / row["n_votes"])


def test_a_sure_label_of_votes_that_hardly_differ_is_a_weak_preference() -> None:
    two_to_one = [("a", None), ("a", None), ("b", None)]
    assert _strength(0.97, *two_to_one) == pytest.approx(1 / 3)
    assert _strength(0.97, *two_to_one, a_wins=False) == 0, "more votes against it than for it"


def test_by_majority_it_is_the_soft_labels_to_the_last_bit() -> None:
    """So that the hash of a snapshot is the one it was when it was made of the soft label."""
    for counts in product(range(7), repeat=3):
        if not any(counts):
            continue
        (found,) = majority_votes([counts])
        if found.label in (A, B_WINS):
            soft = found.probability_a if found.label == A else 1 - found.probability_a
            votes = [(choice, None) for choice, n in zip(("a", "tie", "b"), counts, strict=True) for _ in range(n)]
            assert _strength(soft, *votes, a_wins=found.label == A) == abs(2 * soft - 1)


def test_a_final_word_is_certain_whatever_degrees_the_votes_have(graded: Project, reviewer: User) -> None:
    set_member(project=graded, user=reviewer, role=Role.REVIEWER)
    mark_read(version=current_version(graded), user=reviewer)
    decide(graded.comparisons.get(key="c-p3"), reviewer, "b")
    row = _rows(freeze(project=graded, test_share=0, adjudicated_first=True)[0])["c-p3"]
    assert (row["strength"], row["adjudicated"], row["degrees"]) == (1, True, [-1, -1])


def test_the_hash_covers_the_degrees_and_the_same_state_has_the_same(graded: Project) -> None:
    before, _created = freeze(project=graded)
    assert freeze(project=graded) == (before, False)
    vote = Judgment.objects.get(comparison__key="c-p0", annotator__username="annabel")
    Judgment.objects.filter(pk=vote.pk).update(degree=B)
    after, created = freeze(project=graded)
    assert created and after.content_hash != before.content_hash
    Judgment.objects.filter(pk=vote.pk).update(degree=M)
    assert freeze(project=graded) == (before, False)


def test_two_degrees_are_the_ends_of_the_same_scale(graded: Project) -> None:
    """A change from three to two leaves what was judged before comparable with what is judged then."""
    Project.objects.filter(pk=graded.pk).update(degrees=Degrees.TWO)
    graded.refresh_from_db()
    more = make_comparisons(graded, 1, start=10)
    annabel = User.objects.get(username="annabel")
    judge(graded, annabel, "a", M)
    assert more[0].judgments.get().degree == M == Degrees.THREE
    assert _rows(freeze(project=graded, test_share=0)[0])["c-p10"]["strength"] == 1
