"""Comparisons: a prompt with two responses to be judged, and the batch they came in."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Case, F, FloatField, Q, Value, When
from django.db.models.functions import Cast
from django.utils.translation import gettext_lazy as _

from annotate.models.project import Project
from annotate.models.prompt import Prompt, Response


class Choice(models.TextChoices):
    """In the comparison's own terms, not the screen's: the side shown is drawn per assignment. Ordered a, tie, b."""

    A = "a", _("A is better")
    TIE = "tie", _("Tie")
    B = "b", _("B is better")


def votes_column(choice: Choice | str) -> str:
    """The column that counts the votes for it."""
    return f"votes_{Choice(choice)}"


# Fewer votes for each answer than there are votes. Columns alone, so that a partial index serves it on SQLite too.
DISPUTED = Q(judged__gt=F("votes_a")) & Q(judged__gt=F("votes_tie")) & Q(judged__gt=F("votes_b"))


def _share_that_differs() -> Case:
    """Of every two votes: (a·tie + a·b + tie·b) / (n (n − 1) / 2). As floats, since small integers would overflow."""
    a, tie, b, n = (Cast(name, FloatField()) for name in ("votes_a", "votes_tie", "votes_b", "judged"))
    differ = a * tie + a * b + tie * b
    return Case(When(judged__gte=2, then=Value(2.0) * differ / (n * (n - Value(1.0)))), default=Value(0.0))


class Batch(models.Model):
    """Comparisons that entered the queue together: an import, a first sampling, or the samples of a round."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="batches")
    name = models.CharField(max_length=120)
    round_number = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "batches"
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="batch_name_once")]

    def __str__(self) -> str:
        return self.name


class ComparisonQuerySet(models.QuerySet["Comparison"]):
    def open(self) -> Self:
        """With a slot that nobody holds or has filled."""
        return self.filter(taken__lt=F("overlap"))

    def unseen_by(self, user: "settings.AUTH_USER_MODEL") -> Self:  # type: ignore[name-defined]
        """Never assigned to this person, or assigned and let run out without a word."""
        seen = user.assignments.exclude(state="expired").filter(comparison=models.OuterRef("pk"))
        return self.filter(~models.Exists(seen))

    def complete(self) -> Self:
        return self.filter(judged__gte=F("overlap"))

    def judged_at_all(self) -> Self:
        return self.filter(judged__gt=0)

    def disputed(self) -> Self:
        """Two votes that count differ."""
        return self.filter(DISPUTED)

    def most_split_first(self) -> Self:
        """Of comparisons that are split alike those with more votes, then the older ones."""
        return self.order_by("-disagreement", "-judged", "id")


class Comparison(models.Model):
    """`taken` = live leases + counted judgments, `judged` = counted judgments = the sum of the three counts of votes.

    Kept by the verbs in `workflow/`, held by constraints. `disagreement` follows from the votes; `is_adjudicated` says
    that there is a final word.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="comparisons")
    batch = models.ForeignKey(Batch, models.PROTECT, related_name="comparisons")
    prompt = models.ForeignKey(Prompt, models.PROTECT, related_name="comparisons")
    response_a = models.ForeignKey(Response, models.PROTECT, related_name="compared_as_a")
    response_b = models.ForeignKey(Response, models.PROTECT, related_name="compared_as_b")
    key = models.CharField(max_length=200)
    overlap = models.PositiveSmallIntegerField()
    taken = models.PositiveSmallIntegerField(default=0)
    judged = models.PositiveSmallIntegerField(default=0)
    votes_a = models.PositiveSmallIntegerField(default=0)
    votes_tie = models.PositiveSmallIntegerField(default=0)
    votes_b = models.PositiveSmallIntegerField(default=0)
    disagreement = models.GeneratedField(expression=_share_that_differs(), output_field=FloatField(), db_persist=True)
    is_adjudicated = models.BooleanField(default=False)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ComparisonQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "key"], name="comparison_key_once"),
            models.CheckConstraint(condition=Q(taken__lte=F("overlap")), name="comparison_taken_within_overlap"),
            models.CheckConstraint(condition=Q(judged__lte=F("taken")), name="comparison_judged_within_taken"),
            models.CheckConstraint(
                condition=Q(judged=F("votes_a") + F("votes_tie") + F("votes_b")), name="comparison_votes_add_up"
            ),
            models.CheckConstraint(condition=~Q(response_a=F("response_b")), name="comparison_two_responses"),
        ]
        indexes = [
            models.Index(fields=["project", "id"], condition=Q(taken__lt=F("overlap")), name="comparison_open"),
            models.Index(fields=["project", "judged"], name="comparison_progress"),
            # The queue of adjudication is walked in its order, whichever state it asks for. SQLite takes the state
            # from a condition, and not from a column of the index: a boolean is no comparison to it.
            models.Index(
                fields=["project", "-disagreement", "-judged", "id"],
                condition=DISPUTED,
                name="comparison_disputed",
            ),
            models.Index(
                fields=["project", "-disagreement", "-judged", "id"],
                condition=DISPUTED & Q(is_adjudicated=False),
                name="comparison_undecided",
            ),
            models.Index(
                fields=["project", "-disagreement", "-judged", "id"],
                condition=Q(is_adjudicated=True),
                name="comparison_adjudicated",
            ),
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def progress(self) -> str:
        return f"{self.judged}/{self.overlap}"
