"""Snapshots with annotators held out: train knows nothing of them, test is as it was, what they said stands apart."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.core.management import call_command
from django.test import Client
from rest_framework.test import APIClient

from annotate.models import Adjudication, Aggregation, Comparison, Judgment, Project, Snapshot, Split, User
from annotate.workflow.exceptions import EmptySnapshot, NobodyHeldOut, NothingToInferFrom, WorkflowError
from annotate.workflow.held_out import draw
from annotate.workflow.snapshot_rows import Vote, pseudonym
from annotate.workflow.snapshots import freeze, select, split_of
from tests.annotate.workflow.test_adjudication import decide
from tests.factories import judge_all, make_comparisons, make_user

pytestmark = pytest.mark.django_db

SEED, SHARE = 0, 0.4


@pytest.fixture
def judged(project: Project) -> list[Comparison]:
    """Twelve comparisons by four people, of whom `held_out` names those who are drawn."""
    project.overlap = 4
    project.save()
    made = make_comparisons(project, 12)
    for number in range(4):
        user = make_user(f"person{number}")
        project.memberships.create(user=user)
        judge_all(project, user, [("a", "b", "a", "tie")[(i * i + number * (i % 3)) % 4] for i in range(12)])
    return made


@pytest.fixture
def held_out(project: Project, judged: list[Comparison]) -> list[User]:
    names = {pseudonym(project.slug, f"person{number}"): f"person{number}" for number in range(4)}
    drawn = draw({0: [Vote(0, "a", name) for name in names]}, SHARE, SEED)
    return list(User.objects.filter(username__in=[names[one] for one in drawn]))


def _files(project: Project, **query: Any) -> dict[str, list[dict[str, Any]]]:
    snapshot, _created = freeze(project=project, **{"test_share": 0.5, "seed": SEED} | query)
    return {path.stem: pq.read_table(path).to_pylist() for path in Path(snapshot.folder).glob("*.parquet")}


def _turn_round(users: list[User]) -> None:
    """Every vote of theirs becomes another one."""
    votes = Judgment.objects.filter(annotator__in=users)
    for judgment in votes:
        judgment.choice = {"a": "b", "b": "tie", "tie": "a"}[judgment.choice]
    assert Judgment.objects.bulk_update(votes, ["choice"]) > 0


@pytest.mark.parametrize("aggregation", Aggregation.values)
def test_no_vote_of_theirs_has_a_part_in_train_and_every_one_has_it_in_test(
    project: Project, held_out: list[User], judged: list[Comparison], reviewer: User, aggregation: str
) -> None:
    decide(judged[0], reviewer, "b")
    asked = {"aggregation": aggregation, "adjudicated_first": aggregation == Aggregation.MACE}
    plain, before = _files(project, **asked), _files(project, annotator_share=SHARE, **asked)
    assert before["train"] and before["train"] != plain["train"]
    assert (before["test"], before.get("ties_test")) == (plain["test"], plain.get("ties_test"))
    _turn_round(held_out)
    after = _files(project, annotator_share=SHARE, **asked)
    assert (after["train"], after.get("ties_train")) == (before["train"], before.get("ties_train"))
    assert after["test_annotators"] != before["test_annotators"] and after["test"] != before["test"]
    names = {pseudonym(project.slug, user.username) for user in held_out}
    assert names.isdisjoint(name for row in before["train"] for name in row["annotators"])


def test_what_they_say_of_test_prompts_stands_apart_by_their_own_majority(
    project: Project, held_out: list[User]
) -> None:
    snapshot, _created = freeze(project=project, test_share=0.5, annotator_share=SHARE, aggregation="dawid_skene")
    rows = pq.read_table(Path(snapshot.folder) / "test_annotators.parquet").to_pylist()
    names = {pseudonym(project.slug, user.username) for user in held_out}
    tested = {
        one.key for one in project.comparisons.all() if split_of(one.prompt.content_hash, 0.5, SEED) == Split.TEST
    }
    assert rows and {row["id"] for row in rows} <= tested
    for row in rows:
        assert set(row["annotators"]) <= names
        votes = Judgment.objects.filter(comparison__key=row["id"], annotator__in=held_out)
        assert row["n_votes"] == votes.count()
        a_wins = row["chosen"][0]["content"].startswith("First")
        assert votes.filter(choice="a" if a_wins else "b").count() == row["votes_chosen"] > row["votes_rejected"]
    counts = snapshot.counts
    of_train = Judgment.objects.filter(annotator__in=held_out).exclude(comparison__key__in=tested)
    assert (counts["annotators"], counts["annotators_held_out"]) == (4, len(held_out))
    assert counts["judgments_held_out"] == of_train.count() > 0
    assert counts["test_annotators"] == len(rows)
    items = snapshot.items.filter(split="train").values_list("judgments", flat=True)
    frozen = {judgment for one in items for judgment in one}
    assert not Judgment.objects.filter(pk__in=frozen, annotator__in=held_out).exists()


def test_a_training_comparison_of_theirs_alone_is_left_out_and_counted(project: Project, held_out: list[User]) -> None:
    before, _created = freeze(project=project, test_share=0, annotator_share=SHARE)
    assert (before.counts["held_out_only"], before.counts["judgments_held_out"]) == (0, 12 * len(held_out))
    make_comparisons(project, 3, start=20)
    judge_all(project, held_out[0], ["a", "b", "tie"])
    after, created = freeze(project=project, test_share=0, annotator_share=SHARE)
    assert created is False and after == before, "not a row is different"
    counts = select(project=project, test_share=0, annotator_share=SHARE).counts
    assert (counts["held_out_only"], counts["comparisons"], counts["test_annotators"]) == (3, 15, 0)
    assert counts["pairs"] == before.counts["pairs"]


def test_a_final_word_of_theirs_has_no_part_in_train_either(
    project: Project, held_out: list[User], judged: list[Comparison], reviewer: User
) -> None:
    asked = {"test_share": 0, "adjudicated_first": True, "annotator_share": SHARE}
    before = _files(project, **asked)["train"]
    for comparison, verdict in zip(judged, ("a", "b", "tie"), strict=False):
        decide(comparison, reviewer, verdict)
    assert _files(project, **asked)["train"] != before
    Adjudication.objects.update(adjudicator=held_out[0])
    assert _files(project, **asked)["train"] == before


def test_what_one_of_them_called_bad_is_left_out_all_the_same(
    project: Project, held_out: list[User], judged: list[Comparison], reviewer: User
) -> None:
    asked = {"test_share": 0, "adjudicated_first": True, "annotator_share": SHARE}
    before = _files(project, **asked)["train"]
    bad = next(each for each in judged if any(row["id"] == each.key for row in before))
    decide(bad, reviewer, "bad", reason="broken")
    Adjudication.objects.update(adjudicator=held_out[0])
    assert bad.key not in [row["id"] for row in _files(project, **asked)["train"]]
    assert select(project=project, **asked).counts["bad"] == 1


def test_without_it_the_hash_is_what_it_was_before_there_was_the_option(project: Project, ann: User, ben: User) -> None:
    make_comparisons(project, 8)
    judge_all(project, ann, ["a", "a", "b", "tie", "a", "b", "b", "a"])
    judge_all(project, ben, ["a", "a", "b", "tie", "b", "b", "b", "a"])
    snapshot, _created = freeze(project=project, test_share=0.4)
    assert snapshot.content_hash == "5edd95e1d6f8c65dc0bd704f12dbfbfeea49e327fccfbedfba0be5874d76a345"


def test_without_it_nothing_has_changed(project: Project, judged: list[Comparison]) -> None:
    snapshot, _created = freeze(project=project)
    assert freeze(project=project, annotator_share=0) == (snapshot, False)
    assert set(snapshot.query) == {"aggregation", "test_share", "seed"}
    assert not any("held_out" in name or "annotators" in name for name in snapshot.counts)
    assert {path.stem for path in Path(snapshot.folder).iterdir()} <= {"train", "test", "ties_train", "ties_test"}
    apart, created = freeze(project=project, annotator_share=SHARE)
    assert created and apart.query["annotator_share"] == SHARE


def test_a_person_keeps_their_side_whoever_else_judges() -> None:
    people = [Vote(0, "a", f"{number:016x}") for number in range(400)]
    drawn = draw({0: people}, 0.2, 3)
    assert 50 < len(drawn) < 110
    assert draw({0: people[:200], 1: people[100:300]}, 0.2, 3) == drawn & {vote.annotator for vote in people[:300]}
    assert drawn < draw({0: people}, 0.3, 3)
    assert drawn != draw({0: people}, 0.2, 4)


def test_a_draw_that_leaves_one_side_empty_says_what_to_change(project: Project) -> None:
    two = {0: [Vote(0, "a", "one"), Vote(1, "a", "two")]}
    with pytest.raises(NobodyHeldOut, match="holds out none of 2") as refused:
        draw(two, 0.0001, 0)
    assert "larger share" in refused.value.hint
    with pytest.raises(NobodyHeldOut, match="holds out all of 2") as refused:
        draw(two, 1, 0)
    assert "smaller share" in refused.value.hint
    with pytest.raises(NobodyHeldOut, match="Of 1 annotator"):
        draw({0: two[0][:1]}, 0.5, 0)
    with pytest.raises(NobodyHeldOut, match="Of 0 annotator"):
        draw({}, 0.5, 0)


@pytest.mark.parametrize("share", [-0.1, 0.6, float("nan")])
def test_a_senseless_share_is_refused(project: Project, judged: list[Comparison], share: float) -> None:
    with pytest.raises(WorkflowError, match="share of annotators"):
        freeze(project=project, annotator_share=share)
    assert not project.snapshots.exists()


def _seed_for(project: Project, held_out: str, others: list[str]) -> int:
    """The first one with which this person alone is drawn."""
    votes = {0: [Vote(0, "a", pseudonym(project.slug, name)) for name in (held_out, *others)]}
    for seed in range(100):
        try:
            if draw(votes, 0.5, seed) == {pseudonym(project.slug, held_out)}:
                return seed
        except NobodyHeldOut:
            continue
    raise AssertionError


def test_nothing_left_to_train_on_is_said(project: Project, ann: User, ben: User) -> None:
    make_comparisons(project, 4)
    judge_all(project, ann, ["a", "b", "a", "b"])
    judge_all(project, ben, ["tie"] * 4)
    asked = {"test_share": 0, "annotator_share": 0.5, "seed": _seed_for(project, "ann", ["ben"])}
    with pytest.raises(EmptySnapshot, match="held out, none of 4 judged") as empty:
        freeze(project=project, **asked)
    assert "fewer annotators" in empty.value.hint and not project.snapshots.exists()


def test_an_aggregation_that_has_nothing_to_learn_from_without_them_says_so(
    project: Project, ann: User, ben: User
) -> None:
    make_comparisons(project, 4)
    judge_all(project, ann, ["a", "b", "a", "b"])
    judge_all(project, ben, ["a", "b", "b", "b"])
    asked = {"aggregation": "dawid_skene", "annotator_share": 0.5, "seed": _seed_for(project, "ann", ["ben"])}
    with pytest.raises(NothingToInferFrom, match="Without the annotators held out") as refused:
        freeze(project=project, **asked)
    assert "majority" in refused.value.hint
    snapshot, _created = freeze(project=project, **asked | {"aggregation": "majority", "test_share": 0})
    assert (snapshot.counts["train"], snapshot.counts["judgments"]) == (4, 4)


def test_page_command_and_api_ask_for_it(project: Project, judged: list[Comparison], lead: User) -> None:
    page = Client()
    page.force_login(lead)
    asked = {"aggregation": "majority", "test_share": 0.5, "seed": SEED}
    html = page.get("/p/garden/snapshots/new/", asked).content.decode()
    assert "annotator_share" in html and "Test pairs by those held out" not in html
    html = page.get("/p/garden/snapshots/new/", asked | {"annotator_share": SHARE}).content.decode()
    assert "Test pairs by those held out" in html
    page.post("/p/garden/snapshots/new/", asked | {"annotator_share": SHARE})
    api = APIClient()
    api.force_authenticate(lead)
    address = "/api/v1/projects/garden/snapshots/"
    assert api.post(address, asked | {"annotator_share": SHARE}, format="json").status_code == 200, "the same snapshot"
    call_command("snapshot", "garden", "--test-share", "0.5", "--annotator-share", str(SHARE))
    snapshot = Snapshot.objects.get()
    assert snapshot.query == asked | {"annotator_share": SHARE}
    shown = page.get("/p/garden/snapshots/1/").content.decode()
    assert f"{snapshot.counts['annotators_held_out']} of 4 people" in shown
    assert "Test pairs by those held out" in shown
    assert not any(f"person{number}" in shown for number in range(4))
    assert api.get(f"{address}1/").json()["counts"]["test_annotators"] == snapshot.counts["test_annotators"]


def test_page_and_api_say_what_cannot_be(project: Project, judged: list[Comparison], lead: User) -> None:
    page, api = Client(), APIClient()
    page.force_login(lead)
    api.force_authenticate(lead)
    for share, said in (("0.6", "less than or equal to 0.5"), ("0.0001", "holds out none of 4")):
        answer = page.get("/p/garden/snapshots/new/", {"aggregation": "majority", "test_share": 0.5, "seed": 0,
                                                       "annotator_share": share})  # fmt: skip
        assert answer.status_code == 400 and said in answer.content.decode()
        refused = api.post("/api/v1/projects/garden/snapshots/", {"annotator_share": share}, format="json")
        assert refused.status_code in (400, 409) and refused.json()["field"] == "annotator_share"
    page.post(
        "/p/garden/snapshots/new/", {"aggregation": "majority", "test_share": 0, "seed": 0, "annotator_share": ""}
    )
    assert "annotator_share" not in Snapshot.objects.get().query
