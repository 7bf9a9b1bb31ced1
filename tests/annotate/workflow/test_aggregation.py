"""Aggregations of a snapshot: what each makes of the same votes, and where it says that it cannot."""

import pytest
from django.core.management import call_command
from django.test import Client
from rest_framework.test import APIClient

from annotate.models import Aggregation, Project, Role, Snapshot, User
from annotate.workflow.aggregation import decide
from annotate.workflow.exceptions import NothingToInferFrom
from annotate.workflow.projects import set_member
from annotate.workflow.snapshot_rows import Vote
from annotate.workflow.snapshots import freeze, select
from tests.factories import judge_all, make_comparisons, make_user

pytestmark = pytest.mark.django_db

INFERRED = [name for name in Aggregation.values if name in ("dawid_skene", "mace", "crowd_bt")]
TRUTH = ["a", "b"] * 10
OTHER = {"a": "b", "b": "a"}


@pytest.fixture
def crowded(project: Project, ann: User, ben: User) -> Project:
    """Two who are right but for a few slips, and three who say the opposite, together on some comparisons only."""
    project.overlap = 5
    project.save()
    make_comparisons(project, 20)
    others = [make_user(name) for name in ("carl", "dora", "emil")]
    for person in others:
        set_member(project=project, user=person, role=Role.ANNOTATOR)
    judge_all(project, ann, TRUTH)
    judge_all(project, ben, ["tie", *TRUTH[1:]])
    judge_all(project, others[0], [OTHER[choice] if i % 4 == 0 else choice for i, choice in enumerate(TRUTH)])
    judge_all(project, others[1], [OTHER[choice] for choice in TRUTH])
    judge_all(project, others[2], [OTHER[choice] for choice in TRUTH])
    return project


@pytest.mark.parametrize("aggregation", INFERRED)
def test_a_frozen_label_is_the_posterior_and_a_weight_is_one(crowded: Project, aggregation: str) -> None:
    snapshot, _ = freeze(project=crowded, aggregation=aggregation)
    assert (snapshot.aggregation, snapshot.query["aggregation"]) == (aggregation, aggregation)
    rows = [row.canonical() for row in select(project=crowded, aggregation=aggregation).rows]
    assert {row["weight"] for row in rows} == {1.0}
    assert all(0.5 < row["soft_label"] <= 1 for row in rows)
    assert all(row["n_votes"] == 5 for row in rows)
    assert sum(snapshot.counts[name] for name in ("pairs", "ties", "splits")) == 20
    shares = {row.soft_label for row in select(project=crowded).rows}
    assert {row["soft_label"] for row in rows} - shares


def test_dawid_skene_turns_contrary_votes_round_where_majority_counts_them(crowded: Project) -> None:
    majority, inferred = (select(project=crowded, aggregation=name) for name in ("majority", "dawid_skene"))
    wrong = [row for row in majority.rows if row.a_wins != _a_is_right(row.comparison.key)]
    assert wrong, "on every fourth comparison three of five are contrary"
    assert all(row.a_wins == _a_is_right(row.comparison.key) for row in inferred.rows)
    assert len(inferred.rows) == 20


@pytest.mark.parametrize("aggregation", Aggregation.values)
def test_the_same_state_gives_the_same_snapshot_and_another_aggregation_another(
    crowded: Project, aggregation: str
) -> None:
    first, created = freeze(project=crowded, aggregation=aggregation)
    again, created_again = freeze(project=crowded, aggregation=aggregation)
    assert (created, created_again, first) == (True, False, again)
    others = {freeze(project=crowded, aggregation=name)[0].content_hash for name in Aggregation.values}
    assert len(others) == len(Aggregation.values)


@pytest.mark.parametrize("aggregation", ["dawid_skene", "mace"])
def test_without_two_opinions_the_freeze_says_what_to_do(project: Project, ann: User, aggregation: str) -> None:
    make_comparisons(project, 2)
    judge_all(project, ann, ["a", "b"])
    with pytest.raises(NothingToInferFrom, match="no comparison was judged by two people") as refused:
        freeze(project=project, aggregation=aggregation)
    assert "majority" in refused.value.hint
    assert not Snapshot.objects.exists()


@pytest.mark.parametrize(("aggregation", "ties"), [("dawid_skene", 6), ("mace", 6), ("crowd_bt", 8)])
def test_items_that_are_most_probably_ties_are_dropped_and_counted(
    project: Project, ann: User, ben: User, aggregation: str, ties: int
) -> None:
    """Crowd-BT has one readiness to tie for all: where most votes are ties, two votes do not outweigh it."""
    make_comparisons(project, 8)
    judge_all(project, ann, ["tie"] * 6 + ["a", "b"])
    judge_all(project, ben, ["tie"] * 6 + ["a", "b"])
    counts = select(project=project, aggregation=aggregation).counts
    assert (counts["ties"], counts["pairs"], counts["judgments"]) == (ties, 8 - ties, 16)


def test_a_response_in_several_comparisons_carries_its_strength_along() -> None:
    class Pair:
        def __init__(self, a: int, b: int) -> None:
            self.response_a_id, self.response_b_id = a, b

    ring = [Pair(1, 2), Pair(2, 3), Pair(1, 3)]
    sure, unsure = [Vote(n, "a", str(n)) for n in range(4)], [Vote(4, "a", "0"), Vote(5, "b", "1")]
    decisions = decide(Aggregation.CROWD_BT, ring, [sure, sure, unsure])
    assert decisions[2].probability_a > 0.7
    assert decide(Aggregation.MAJORITY, ring, [sure, sure, unsure])[2].label is None


def test_nothing_judged_is_nothing_decided() -> None:
    assert all(decide(name, [], []) == [] for name in Aggregation.values)


def test_every_aggregation_is_explained_on_the_page_and_counted_beforehand(crowded: Project, lead: User) -> None:
    page = Client()
    page.force_login(lead)
    address = f"/p/{crowded.slug}/snapshots/new/"
    html = page.get(address, {"aggregation": "dawid_skene"}).content.decode()
    assert "20 judged comparisons" in html and 'value="dawid_skene" selected' in html
    for aggregation in Aggregation:
        assert f"<dt>{aggregation.label}</dt>" in html
        assert aggregation.explanation.split(",")[0].replace("'", "&#x27;") in html


def test_the_page_says_at_the_field_that_an_aggregation_cannot_be_had(project: Project, lead: User, ann: User) -> None:
    make_comparisons(project, 1)
    judge_all(project, ann, ["a"])
    page = Client()
    page.force_login(lead)
    answer = page.get(f"/p/{project.slug}/snapshots/new/", {"aggregation": "mace"})
    assert answer.status_code == 400
    assert "MACE has nothing to learn from" in answer.content.decode()


def test_the_api_and_the_command_take_the_same_names(crowded: Project, lead: User) -> None:
    api = APIClient()
    api.force_authenticate(lead)
    made = api.post(f"/api/v1/projects/{crowded.slug}/snapshots/", {"aggregation": "crowd_bt"}, format="json")
    assert (made.status_code, made.json()["aggregation"]) == (201, "crowd_bt")
    call_command("snapshot", crowded.slug, "--aggregation", "dawid_skene")
    assert set(Snapshot.objects.values_list("aggregation", flat=True)) == {"crowd_bt", "dawid_skene"}


def _a_is_right(key: str) -> bool:
    return TRUTH[int(key.removeprefix("c-p"))] == "a"
