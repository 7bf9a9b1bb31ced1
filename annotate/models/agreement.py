"""The agreement of a large project as it was computed last."""

from django.db import models
from django.utils import timezone

from annotate.models.project import Project


class AgreementSummary(models.Model):
    """`body` is made by `workflow/agreement_summary.py`, and again once `stamp` is no longer that of the judgments."""

    project = models.OneToOneField(Project, models.CASCADE, related_name="agreement_summary")
    stamp = models.CharField(max_length=60)
    body = models.JSONField()
    made_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"{self.project} · {self.stamp}"
