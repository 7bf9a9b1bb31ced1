"""Rows for tests: one through the same verbs as in life, many at once as those verbs leave them."""

import uuid
from collections.abc import Iterable
from datetime import timedelta

from django.db.models import F
from django.utils import timezone

from annotate.models import (
    Assignment,
    AssignmentState,
    Batch,
    Choice,
    Comparison,
    Judgment,
    Project,
    Prompt,
    Response,
    User,
    votes_column,
)
from annotate.workflow.assignment import lease_next, lease_until
from annotate.workflow.guidelines import current_version, mark_read
from annotate.workflow.intake import content_hash, open_batch
from annotate.workflow.judging import submit_judgment

PASSWORD = "correct horse battery"


def make_user(name: str, **fields: object) -> User:
    return User.objects.create_user(name, password=PASSWORD, **fields)


def make_prompts(project: Project, n: int, start: int = 0) -> list[Prompt]:
    prompts = []
    for i in range(start, start + n):
        messages = [{"role": "user", "content": f"How do I grow plant number {i}?"}]
        prompts.append(Prompt(project=project, key=f"p{i}", messages=messages, content_hash=content_hash(messages)))
    return Prompt.objects.bulk_create(prompts)


def make_comparisons(project: Project, n: int, *, batch: str = "First samples", start: int = 0) -> list[Comparison]:
    opened = open_batch(project=project, name=batch)
    prompts = make_prompts(project, n, start)
    one = make_responses((prompt, f"First, water it. ({prompt.key})") for prompt in prompts)
    two = make_responses(((prompt, f"It grows by itself. ({prompt.key})") for prompt in prompts), key="1")
    return compare_all(opened, one, two)


def make_responses(texts: Iterable[tuple[Prompt, str]], *, key: str = "0", source: str = "model") -> list[Response]:
    """As `store_response` makes them: test_factories.py compares the two."""
    return Response.objects.bulk_create(
        Response(prompt=prompt, text=text, source=source, key=key) for prompt, text in texts
    )


def compare_all(batch: Batch, one: list[Response], two: list[Response]) -> list[Comparison]:
    """As `compare` makes them."""
    overlap = Project.objects.get(pk=batch.project_id).overlap
    made = (
        Comparison(
            project=batch.project,
            batch=batch,
            prompt=a.prompt,
            response_a=a,
            response_b=b,
            key=f"c-{a.prompt.key}",
            overlap=overlap,
        )
        for a, b in zip(one, two, strict=True)
    )
    return Comparison.objects.bulk_create(made)


def take(project: Project, annotator: User) -> Assignment:
    """Take the next card, and leave it open."""
    lease = lease_next(project=project, annotator=annotator)
    assert lease is not None, "nothing left to judge"
    return lease


def run_out() -> None:
    """Every lease, a minute ago."""
    Assignment.objects.leased().update(expires_at=timezone.now() - timedelta(minutes=1))


def judge(project: Project, annotator: User, choice: Choice | str, degree: int | None = None) -> Judgment:
    """Take the next card and answer it."""
    mark_read(version=current_version(project), user=annotator)
    return submit_judgment(
        assignment_id=take(project, annotator).pk,
        annotator=annotator,
        choice=Choice(choice),
        degree=degree,
        client_key=uuid.uuid4(),
    )


def judge_all(project: Project, annotator: User, choices: list[str]) -> list[Judgment]:
    """The next cards answered, with the rows that `judge` leaves of each: a card at a time, it is most of what many
    tests cost."""
    mark_read(version=current_version(project), user=annotator)
    cards = list(project.comparisons.open().unseen_by(annotator).order_by("id")[: len(choices)])
    assert len(cards) == len(choices), "too little is left to judge"
    _count_votes(cards, choices)
    answered = zip(_answered(project, annotator, cards), choices, strict=True)
    return Judgment.objects.bulk_create(
        Judgment(
            assignment=assignment,
            comparison=assignment.comparison,
            annotator=annotator,
            guideline_version=assignment.guideline_version,
            choice=Choice(choice),
            flipped=assignment.flipped,
        )
        for assignment, choice in answered
    )


def _answered(project: Project, annotator: User, cards: list[Comparison]) -> list[Assignment]:
    """`taken` is the next slot, as nothing here is given back."""
    held = {"state": AssignmentState.JUDGED, "annotator": annotator, "guideline_version": current_version(project)}
    held |= {"leased_at": timezone.now(), "expires_at": lease_until(project), "revisions": 1}
    made = (Assignment(comparison=card, slot=card.taken, flipped=bool(card.pk % 2), **held) for card in cards)
    return Assignment.objects.bulk_create(made)


def _count_votes(cards: list[Comparison], choices: list[str]) -> None:
    for choice in set(choices):
        chosen = [card.pk for card, said in zip(cards, choices, strict=True) if said == choice]
        column = votes_column(choice)
        counted = {"taken": F("taken") + 1, "judged": F("judged") + 1, column: F(column) + 1}
        Comparison.objects.filter(pk__in=chosen).update(**counted)
