"""Adjudications: a reviewer's final word on a comparison; append-only revisions."""

import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from annotate.models.comparison import Choice, Comparison
from annotate.models.guideline import GuidelineVersion


class Verdict(models.TextChoices):
    """The choices of a judgment in the comparison's own terms; a bad item is left out of snapshots; a withdrawal leaves
    the comparison to its votes again."""

    A = Choice.A.value, Choice.A.label
    TIE = Choice.TIE.value, Choice.TIE.label
    B = Choice.B.value, Choice.B.label
    BAD = "bad", _("Bad item")
    WITHDRAWN = "withdrawn", _("Withdrawn")

    @property
    def choice(self) -> Choice | None:
        return Choice(self.value) if self.value in Choice.values else None


class BadReason(models.TextChoices):
    UNCLEAR = "unclear", _("The prompt makes no sense")
    BROKEN = "broken", _("A response is broken or not readable")
    SAME = "same", _("Both responses say the same")
    UNSAFE = "unsafe", _("Offensive or unsafe")
    PERSONAL = "personal", _("Names or data of real people")
    OTHER = "other", _("Another reason (say which in the note)")


class AdjudicationQuerySet(models.QuerySet["Adjudication"]):
    def current(self) -> Self:
        """The last word on each comparison, withdrawals left out."""
        return self.filter(is_current=True).exclude(verdict=Verdict.WITHDRAWN)

    def bad(self) -> Self:
        """Current ones that no answer fits."""
        return self.filter(is_current=True, verdict=Verdict.BAD)

    def labels(self) -> Self:
        """Current ones that say which response is better, or that neither is."""
        return self.filter(is_current=True, verdict__in=Choice.values)


class Adjudication(models.Model):
    """One revision. Rows are never changed except for `is_current`, which a later revision takes over.

    `votes_seen`: the adjudicator had the votes in sight. `flipped`: response B stood on the left; null where no page
    showed it (the API). `guideline_version` is null where the project has none.
    """

    comparison = models.ForeignKey(Comparison, models.CASCADE, related_name="adjudications")
    adjudicator = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="adjudications")
    guideline_version = models.ForeignKey(GuidelineVersion, models.PROTECT, null=True, related_name="adjudications")
    client_key = models.UUIDField(default=uuid.uuid4, unique=True)
    revision = models.PositiveIntegerField(default=1)
    verdict = models.CharField(max_length=9, choices=Verdict)
    reason = models.CharField(max_length=12, choices=BadReason, blank=True)
    note = models.TextField(blank=True)
    votes_seen = models.BooleanField()
    flipped = models.BooleanField(null=True)
    is_current = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = AdjudicationQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["comparison", "revision"], name="adjudication_revision_once"),
            models.UniqueConstraint(
                fields=["comparison"], condition=Q(is_current=True), name="adjudication_one_current"
            ),
            models.CheckConstraint(condition=Q(verdict__in=Verdict.values), name="adjudication_known_verdict"),
            models.CheckConstraint(
                condition=Q(verdict=Verdict.BAD, reason__in=BadReason.values)
                | (~Q(verdict=Verdict.BAD) & Q(reason="")),
                name="adjudication_reason_of_bad",
            ),
        ]
        indexes = [models.Index(fields=["adjudicator", "-id"], name="adjudication_of_person")]

    def __str__(self) -> str:
        return f"{self.comparison_id}: {self.verdict} ({self.adjudicator_id})"
