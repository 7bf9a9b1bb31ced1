"""Snapshots: frozen preference datasets, and which judgments went into each row."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from annotate.models.adjudication import Adjudication
from annotate.models.comparison import Comparison
from annotate.models.project import Project
from annotate.models.prompt import Response


class Aggregation(models.TextChoices):
    """How the votes on a comparison become one label."""

    MAJORITY = "majority", _("Majority")
    DAWID_SKENE = "dawid_skene", _("Dawid–Skene")
    MACE = "mace", _("MACE")
    CROWD_BT = "crowd_bt", _("Crowd-BT")

    @property
    def explanation(self) -> str:
        return str(_EXPLANATIONS[self.value])


_EXPLANATIONS = {
    "majority": _("Every vote counts the same, and a comparison is decided by its own votes alone."),
    "dawid_skene": _(
        "Learns for every annotator how often each answer is given when another one is right, so that a careless vote "
        "counts for less and a contrary one the other way round."
    ),
    "mace": _(
        "Learns what share of an annotator's answers is given without looking, and which answer it is then; for crowds "
        "with many people of a few votes each."
    ),
    "crowd_bt": _(
        "Learns a strength for every response and a reliability for every annotator; for responses that are in several "
        "comparisons."
    ),
}


class Split(models.TextChoices):
    TRAIN = "train", _("Train")
    TEST = "test", _("Test")


class Snapshot(models.Model):
    """Immutable. `content_hash` covers the canonical rows; the same state frozen twice is the same snapshot."""

    project = models.ForeignKey(Project, models.PROTECT, verbose_name=_("project"), related_name="snapshots")
    number = models.PositiveIntegerField(_("number"))
    content_hash = models.CharField(_("content hash"), max_length=64)
    aggregation = models.CharField(_("aggregation"), max_length=20, choices=Aggregation, default=Aggregation.MAJORITY)
    # What was asked for (test share, split seed, whether adjudications go first, share of annotators held out): enough
    # to make the same again.
    query = models.JSONField(_("query"))
    guideline_versions = models.JSONField(_("versions of the guideline"))
    # comparisons, pairs, train, test, ties, splits, judgments, won_by_a, won_by_b ...
    counts = models.JSONField(_("counts"))
    folder = models.CharField(_("folder"), max_length=500)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("created by"), null=True, related_name="+"
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name, verbose_name_plural = _("snapshot"), _("snapshots")
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="snapshot_number_once"),
            models.UniqueConstraint(fields=["project", "content_hash"], name="snapshot_content_once"),
        ]

    def __str__(self) -> str:
        return f"#{self.number} {self.content_hash[:12]}"

    @property
    def adjudicated_first(self) -> bool:
        return bool(self.query.get("adjudicated_first"))

    @property
    def rule(self) -> str:
        """How a label was made of the votes, in words."""
        rule = self.get_aggregation_display()
        return _("Adjudicated first, then %(rule)s") % {"rule": rule} if self.adjudicated_first else rule


class ItemKind(models.TextChoices):
    """Which of a snapshot's files a row stands in: `train` and `test`, `ties_train` and `ties_test`, or
    `test_annotators`."""

    PAIR = "pair", _("Pair")
    TIE = "tie", _("Tie")
    HELD_OUT = "held_out", _("By annotators held out")


class SnapshotItemQuerySet(models.QuerySet["SnapshotItem"]):
    def pairs(self) -> Self:
        """What the snapshot's counts call its pairs."""
        return self.filter(kind=ItemKind.PAIR)


class SnapshotItem(models.Model):
    """One row of one of the files, and the judgments or the adjudication that decided it: whatever a model may learn
    from or be measured on leads back to who said it. Of a tie the chosen response is A and the rejected one B."""

    snapshot = models.ForeignKey(Snapshot, models.CASCADE, related_name="items")
    comparison = models.ForeignKey(Comparison, models.PROTECT, related_name="snapshot_items")
    chosen = models.ForeignKey(Response, models.PROTECT, related_name="+")
    rejected = models.ForeignKey(Response, models.PROTECT, related_name="+")
    kind = models.CharField(max_length=8, choices=ItemKind, default=ItemKind.PAIR)
    split = models.CharField(max_length=5, choices=Split)
    soft_label = models.FloatField(help_text="Probability that the chosen response is the better one.")
    judgments = models.JSONField(help_text="Ids of the judgments counted.")
    # The final word that decided it, whatever the judgments said.
    adjudication = models.ForeignKey(Adjudication, models.PROTECT, null=True, related_name="snapshot_items")

    objects = SnapshotItemQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            # A comparison is a pair or a tie, and beside it may be what those held out make of it.
            models.UniqueConstraint(
                fields=["snapshot", "comparison"], condition=~Q(kind=ItemKind.HELD_OUT), name="snapshot_item_once"
            ),
            models.UniqueConstraint(
                fields=["snapshot", "comparison"],
                condition=Q(kind=ItemKind.HELD_OUT),
                name="snapshot_item_held_out_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.snapshot_id}/{self.comparison_id}"
