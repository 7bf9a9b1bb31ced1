"""A round: snapshot -> reward model -> policy -> samples -> comparisons, as a list of runs."""

from django.conf import settings
from django.db import models

from annotate.models import Batch, Project, Snapshot
from training.models.artifact import Artifact


class Round(models.Model):
    """Its stages are its runs in the order of `Run.stage`; its state is theirs."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="rounds")
    number = models.PositiveIntegerField()
    snapshot = models.ForeignKey(Snapshot, models.PROTECT, related_name="rounds")
    base_policy = models.ForeignKey(Artifact, models.PROTECT, related_name="rounds_started")
    batch = models.ForeignKey(Batch, models.PROTECT, null=True, blank=True, related_name="rounds")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="round_number_once")]

    def __str__(self) -> str:
        return f"Round {self.number}"
