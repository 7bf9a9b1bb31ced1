"""The queue of adjudication: order, filters, what comes next; the migration that counts the votes of before."""

from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection
from django.db.models import F

from annotate.models import Comparison, Project, Prompt, SkipReason, User
from annotate.workflow.comparison_import import import_comparisons
from annotate.workflow.disputes import (
    DisputeFilters,
    count_skipped_by_all,
    disputes,
    filters_from,
    following,
    next_dispute,
)
from annotate.workflow.exceptions import UnknownFilter
from annotate.workflow.guidelines import current_version, mark_read, publish, save_draft
from annotate.workflow.judging import skip
from tests.annotate.workflow.test_adjudication import decide
from tests.factories import judge, judge_all, make_comparisons, make_user, take

pytestmark = pytest.mark.django_db
INDEXES = {"undecided": ["undecided", "disputed"], "decided": ["adjudicated"], "all": ["disputed"]}


@pytest.fixture
def crowd(project: Project, lead: User) -> Project:
    """Votes a/tie/b of the comparisons p0 to p5: 2-0-2, 1-1-1, 2-1-0, 3-0-0, 1-0-1, 1-0-1."""
    project.overlap = 4
    project.save()
    make_comparisons(project, 6)
    answers = {
        "one": ["a", "a", "a", "a", "a", "a"],
        "two": ["a", "tie", "a", "a", "b", "b"],
        "three": ["b", "b", "tie", "a"],
        "four": ["b"],
    }
    for name, choices in answers.items():
        user = make_user(name)
        project.memberships.create(user=user)
        judge_all(project, user, choices)
    return project


def _keys(rows: object) -> list[str]:
    return [row.prompt.key for row in rows]


def test_those_that_split_people_most_come_first_and_the_unanimous_never(crowd: Project) -> None:
    # 1 of 1 pair differs, 3 of 3, 4 of 6, 2 of 3; of equals the one with more votes, then the older one.
    assert _keys(disputes(crowd, DisputeFilters())) == ["p1", "p4", "p5", "p0", "p2"]


@pytest.mark.parametrize("state", ["undecided", "decided", "all"])
def test_the_queue_is_walked_along_an_index_and_not_sorted(crowd: Project, state: str) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL reads six rows as they lie, whatever the indexes")
    rows, one = disputes(crowd, DisputeFilters(state)), crowd.comparisons.order_by("id")[1]
    for asked in (rows, following(rows, one)):
        plan = asked[:50].explain()
        assert any(f"USING INDEX comparison_{name} " in plan for name in INDEXES[state])
        assert "B-TREE" not in plan


def test_each_is_followed_by_the_next_and_the_last_by_the_first(crowd: Project, reviewer: User) -> None:
    rows, walked, at = disputes(crowd, DisputeFilters()), [], None
    while (at := rows.first() if at is None else following(rows, at).first()) is not None:
        walked.append(at.prompt.key)
    assert walked == _keys(rows)
    last = rows.get(prompt__key="p2")
    assert next_dispute(crowd, DisputeFilters(), last).prompt.key == "p1"
    for row in list(rows):
        decide(row, reviewer)
    assert next_dispute(crowd, DisputeFilters(), last) is None


def test_what_is_decided_moves_to_the_decided_ones(crowd: Project, reviewer: User) -> None:
    first, unanimous = crowd.comparisons.get(prompt__key="p1"), crowd.comparisons.get(prompt__key="p3")
    decide(first, reviewer, "b")
    decide(unanimous, reviewer, "bad", reason="same")
    assert _keys(disputes(crowd, DisputeFilters())) == ["p4", "p5", "p0", "p2"]
    assert _keys(disputes(crowd, DisputeFilters("decided"))) == ["p1", "p3"]
    assert _keys(disputes(crowd, DisputeFilters("all"))) == ["p1", "p4", "p5", "p0", "p2"]
    decide(first, reviewer, "withdrawn")
    assert _keys(disputes(crowd, DisputeFilters()))[0] == "p1"


def test_filters_by_tag_language_and_guideline(crowd: Project, lead: User) -> None:
    Prompt.objects.filter(key__in=["p0", "p3"]).update(tags=["hard", "数学"], language="zh")
    Prompt.objects.filter(key="p1").update(tags=["harder", 'qu"ote'], language="en")
    for given, expected in (
        ({"tag": "hard"}, ["p0"]), ({"tag": "数学"}, ["p0"]), ({"tag": 'qu"ote'}, ["p1"]), ({"tag": "har"}, []),
        ({"language": "en"}, ["p1"]), ({"language": "en", "tag": "hard"}, []), ({"guideline": "v2"}, []),
        ({"guideline": "1"}, ["p1", "p4", "p5", "p0", "p2"]),
    ):  # fmt: skip
        assert _keys(disputes(crowd, filters_from(given))) == expected, given
    save_draft(project=crowd, body="Be brief.", actor=lead)
    publish(project=crowd, summary="Brief", actor=lead)
    four = User.objects.get(username="four")
    mark_read(version=current_version(crowd), user=four)
    judge_all(crowd, four, ["b"])
    assert _keys(disputes(crowd, filters_from({"guideline": "2"}))) == ["p1"]


@pytest.mark.parametrize("given", [{"state": "lost"}, {"guideline": "x"}, {"guideline": "９"}, {"guideline": "9" * 30}])
def test_a_filter_that_cannot_be_is_named(given: dict[str, str]) -> None:
    with pytest.raises(UnknownFilter) as refused:
        filters_from(given)
    assert refused.value.where == next(iter(given))


def test_imported_judgments_are_votes_too(project: Project, tmp_path: object) -> None:
    vote = '{"annotator": "%s", "choice": "%s"}'
    record = '{"id": "c", "prompt": "P", "response_a": "A", "response_b": "B", "annotations": [%s]}\n'
    for votes in (["x a", "y b"], ["x a", "y b", "z tie", "w b"]):
        path = tmp_path / "pairs.jsonl"
        path.write_text(record % ", ".join(vote % tuple(each.split()) for each in votes))
        with path.open("rb") as stream:
            import_comparisons(project=project, stream=stream, name=path.name)
    [row] = disputes(project, DisputeFilters())
    assert (row.votes_a, row.votes_tie, row.votes_b, row.judged) == (1, 1, 2, 4)


def test_the_migration_counts_the_votes_of_before(crowd: Project) -> None:
    """Counted anew from the judgments they are what the verbs have kept."""
    columns = ("pk", "votes_a", "votes_tie", "votes_b")
    kept = list(crowd.comparisons.values_list(*columns))
    assert len(set(kept)) > 3
    # Counts that add up, and are wrong.
    Comparison.objects.update(votes_a=0, votes_tie=0, votes_b=F("judged"))
    import_module("annotate.migrations.0006_adjudications").count_votes(apps, None)
    assert list(crowd.comparisons.values_list(*columns)) == kept


def test_what_all_annotators_have_skipped_is_listed_until_it_is_decided(
    project: Project, ann: User, ben: User, reviewer: User
) -> None:
    one, other, _fresh = make_comparisons(project, 3)

    def listed() -> list[Comparison]:
        assert count_skipped_by_all(project) == disputes(project, DisputeFilters("skipped")).count()
        return list(disputes(project, DisputeFilters("skipped")))

    def skip_next(person: User) -> None:
        skip(assignment_id=take(project, person).pk, annotator=person, reason=SkipReason.LANGUAGE)

    for _number in range(2):
        skip_next(ann)
    assert listed() == [], "the other annotator may still take them"
    skip_next(ben)
    assert listed() == [one]
    card = take(project, reviewer)
    assert (card.comparison, listed()) == (one, []), "somebody is at it"
    skip(assignment_id=card.pk, annotator=reviewer, reason=SkipReason.LANGUAGE)
    skip_next(ben)
    assert listed() == [one, other]
    decide(one, reviewer, "bad", reason="unclear")
    assert listed() == [other]
    judge(project, reviewer, "a")
    assert listed() == []
