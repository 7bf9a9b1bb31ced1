"""What a page shows of a large project, as it was computed last."""

from django.db import models
from django.utils import timezone

from annotate.models import Project


class KeptReport(models.Model):
    """`body` answers one question, `kind` with `query`; it is made again once `stamp` is no longer the project's.

    `name` is the question in a form that can be UNIQUE."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="kept_reports")
    name = models.CharField(max_length=100)
    query = models.JSONField(default=dict)
    stamp = models.CharField(max_length=80)
    body = models.JSONField()
    made_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-made_at"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="kept_report_once")]

    def __str__(self) -> str:
        return f"{self.project} · {self.name}"
