"""Assignments (one comparison leased to one annotator) and judgments (what the annotator said)."""

import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from annotate.models.comparison import Choice, Comparison
from annotate.models.guideline import GuidelineVersion
from annotate.models.project import Degrees


class AssignmentState(models.TextChoices):
    LEASED = "leased", _("Leased")
    JUDGED = "judged", _("Judged")
    SKIPPED = "skipped", _("Skipped")
    EXPIRED = "expired", _("Expired")
    SURPLUS = "surplus", _("Surplus")


class SkipReason(models.TextChoices):
    UNCLEAR = "unclear", _("The prompt makes no sense")
    BROKEN = "broken", _("A response is broken or not readable")
    LANGUAGE = "language", _("I do not know this language well enough")
    EXPERTISE = "expertise", _("I cannot judge this subject")
    UNSAFE = "unsafe", _("Offensive or unsafe")
    OTHER = "other", _("Another reason (say which in the note)")


class Degree(models.IntegerChoices):
    """How much better the chosen response is. One scale for all projects, so that degrees can be compared wherever they
    were asked: two degrees are its ends. A tie is its zero, and has none."""

    SLIGHTLY = 1, _("Slightly better")
    BETTER = 2, _("Better")
    MUCH = 3, _("Much better")


ASKED: dict[int, list[Degree]] = {
    Degrees.ONE: [],
    Degrees.TWO: [Degree.SLIGHTLY, Degree.MUCH],
    Degrees.THREE: list(Degree),
}
"""By the degrees of a project, those an answer chooses from."""


class AssignmentQuerySet(models.QuerySet["Assignment"]):
    def leased(self) -> Self:
        return self.filter(state=AssignmentState.LEASED)

    def overdue(self, now: object) -> Self:
        return self.leased().filter(expires_at__lte=now)


class Assignment(models.Model):
    """A slot of a comparison held by one person. Slots 0 … overlap-1 are UNIQUE while they are held or filled."""

    comparison = models.ForeignKey(Comparison, models.CASCADE, related_name="assignments")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="assignments")
    state = models.CharField(max_length=8, choices=AssignmentState, default=AssignmentState.LEASED)
    slot = models.PositiveSmallIntegerField(null=True)
    # Whether response B stands on the left (above, on a narrow screen): drawn per assignment and recorded with it.
    # Not known (null) of what was judged elsewhere and imported.
    flipped = models.BooleanField(null=True)
    # How the card asks, as the project asked when it was first leased. It stays so, as the sides do: an answer to what
    # was shown may wait in a browser while the project's setting changes, and has to be understood when it comes.
    degrees = models.PositiveSmallIntegerField(choices=Degrees, default=Degrees.ONE)
    guideline_version = models.ForeignKey(GuidelineVersion, models.PROTECT, null=True, related_name="assignments")
    leased_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    skip_reason = models.CharField(max_length=12, choices=SkipReason, blank=True)
    note = models.TextField(blank=True)
    # Revisions of the judgment so far; on this row because its lock is what makes the number certain.
    revisions = models.PositiveIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)

    objects = AssignmentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["comparison", "annotator"], name="assignment_once_per_person"),
            models.UniqueConstraint(fields=["comparison", "slot"], name="assignment_slot_once"),
            models.CheckConstraint(
                condition=Q(state__in=["leased", "judged"], slot__isnull=False)
                | Q(state__in=["skipped", "expired", "surplus"], slot__isnull=True),
                name="assignment_slot_only_while_held",
            ),
            models.CheckConstraint(condition=Q(degrees__in=Degrees.values), name="assignment_known_degrees"),
        ]
        indexes = [
            models.Index(fields=["annotator", "state"], name="assignment_of_person"),
            models.Index(fields=["expires_at"], condition=Q(state="leased"), name="assignment_running_out"),
        ]

    def __str__(self) -> str:
        return f"{self.comparison_id} → {self.annotator_id}"

    @property
    def asked(self) -> list[Degree]:
        """The degrees to choose from, the lowest first; none where only the better response is asked for."""
        return ASKED[self.degrees]


class JudgmentQuerySet(models.QuerySet["Judgment"]):
    def current(self) -> Self:
        """The last word of each assignment, retractions left out."""
        return self.filter(is_current=True, choice__isnull=False)

    def counted(self) -> Self:
        """Current and within the overlap: what agreement and snapshots are made of."""
        return self.current().filter(is_surplus=False)


class Judgment(models.Model):
    """One revision; a retraction has no choice. Of an imported one `guideline_version` and `flipped` are null.

    Rows are never changed except for `is_current`, which a later revision takes over.
    """

    assignment = models.ForeignKey(Assignment, models.CASCADE, verbose_name=_("assignment"), related_name="judgments")
    comparison = models.ForeignKey(Comparison, models.CASCADE, verbose_name=_("comparison"), related_name="judgments")
    annotator = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("annotator"), related_name="judgments"
    )
    guideline_version = models.ForeignKey(
        GuidelineVersion,
        models.PROTECT,
        verbose_name=_("version of the guideline"),
        null=True,
        related_name="judgments",
    )
    client_key = models.UUIDField(_("key of the answer"), default=uuid.uuid4, unique=True)
    revision = models.PositiveIntegerField(_("revision"), default=1)
    choice = models.CharField(_("choice"), max_length=3, choices=Choice, null=True)
    # Null where it was not asked.
    degree = models.PositiveSmallIntegerField(_("degree"), choices=Degree, null=True)
    flipped = models.BooleanField(_("B on the left"), null=True)
    note = models.TextField(_("note"), blank=True)
    seconds = models.FloatField(
        _("seconds"), null=True, help_text=_("From the display of the card to the answer, as the browser measured it.")
    )
    is_current = models.BooleanField(_("current"), default=True)
    is_surplus = models.BooleanField(_("surplus"), default=False)
    # What an import said beside the answer.
    metadata = models.JSONField(_("metadata"), default=dict, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    objects = JudgmentQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("judgment"), _("judgments")
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["assignment", "revision"], name="judgment_revision_once"),
            models.UniqueConstraint(fields=["assignment"], condition=Q(is_current=True), name="judgment_one_current"),
            models.CheckConstraint(
                condition=Q(choice__isnull=True) | Q(choice__in=Choice.values), name="judgment_known_choice"
            ),
            # That there is a choice is said as well: the CHECK would pass where it is not known to be one of the two.
            models.CheckConstraint(
                condition=Q(degree__isnull=True)
                | Q(degree__in=Degree.values, choice__isnull=False, choice__in=[Choice.A, Choice.B]),
                name="judgment_degree_of_a_side",
            ),
        ]
        indexes = [
            models.Index(fields=["comparison"], condition=Q(is_current=True), name="judgment_current"),
            models.Index(fields=["annotator", "-id"], name="judgment_of_person"),
        ]

    def __str__(self) -> str:
        return f"{self.comparison_id}: {self.choice} ({self.annotator_id})"
