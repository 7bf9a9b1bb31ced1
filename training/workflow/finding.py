"""Finds runs: which of a project's are shown, in which order, and which stay at the top."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db.models import Case, DurationField, ExpressionWrapper, F, FloatField, Q, QuerySet, Value, When
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Lower, Now

from training.models import ACTIVE, Run
from training.workflow.headlines import HEADLINES, UNPAIRED

# Fields that are compared as they are; what is not given chooses nothing.
EQUAL = ("recipe", "state", "model", "snapshot", "round")
SORTS = ("newest", "oldest", "started", "name", "longest", "result")


def find(rows: QuerySet[Run], wanted: Mapping[str, Any]) -> QuerySet[Run]:
    """`wanted`: any of EQUAL, `q` (words in the name, or the number of a run), `pinned`, and `sort`, one of SORTS.

    Pinned runs come first. By "result" the runs of a recipe stand together, the best first, as the figures of two
    recipes are not one scale.
    """
    rows = rows.filter(**{name: wanted[name] for name in EQUAL if wanted.get(name)})
    for word in str(wanted.get("q") or "").split():
        rows = rows.filter(_with_word(word))
    if wanted.get("pinned"):
        rows = rows.filter(pinned=True)
    return _sorted(rows, wanted.get("sort") or SORTS[0])


def set_pinned(run: Run, pinned: bool) -> Run:
    """At the top of the project's list, for everybody. Saying it twice is saying it once."""
    Run.objects.filter(pk=run.pk).update(pinned=pinned)
    run.pinned = pinned
    return run


def _with_word(word: str) -> Q:
    named = Q(name__icontains=word)
    number = word.removeprefix("#")
    return named | Q(pk=int(number)) if number.isdecimal() and len(number) < 16 else named


def _sorted(rows: QuerySet[Run], sort: str) -> QuerySet[Run]:
    if sort == "longest":
        now = ExpressionWrapper(Now() - F("taken_at"), output_field=DurationField())
        took = F("worked") + Case(When(state__in=ACTIVE, then=now), default=timedelta(), output_field=DurationField())
        never = Case(When(started_at__isnull=True, then=1), default=0)
        return rows.annotate(took=took).order_by("-pinned", never, F("took").desc(nulls_last=True), "-id")
    if sort == "result":
        has_none = Case(When(headline__isnull=True, then=1), default=0)
        best = F("headline").desc(nulls_last=True)
        unpaired = Case(When(feedback__isnull=True, then=0), default=1)
        return rows.annotate(headline=_headline()).order_by("-pinned", has_none, "recipe", unpaired, best, "-id")
    orders = {
        "oldest": ("id",),
        "started": (F("started_at").desc(nulls_last=True), "-id"),
        "name": (Lower("name"), "-id"),
    }
    return rows.order_by("-pinned", *orders.get(sort, ("-id",)))


def _headline() -> Case:
    """The value of each recipe's headline, turned so that more is better."""
    return Case(
        When(feedback__isnull=False, then=_value(UNPAIRED.metric, UNPAIRED.rising)),
        *(When(recipe=recipe, then=_value(known.metric, known.rising)) for recipe, known in HEADLINES.items()),
        output_field=FloatField(),
    )


def _value(metric: str, rising: bool) -> Any:
    # As text first: a figure without a value is null in the manifest, which PostgreSQL casts to no number.
    text = KeyTextTransform("value", f"artifact__manifest__metrics__{metric}")
    value = Cast(text, FloatField())
    return value if rising else value * Value(-1.0)
