"""Probes: questions with choices, by which a project sees what its policies unlearn."""

from django.conf import settings
from django.db import models

from annotate.models import Project


class ProbeSet(models.Model):
    """One upload, immutable: `content_hash` covers `rows`, each {"messages", "choices", "answer", "tag"}."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="probe_sets")
    name = models.CharField(max_length=120)
    content_hash = models.CharField(max_length=64)
    size = models.PositiveIntegerField()
    rows = models.JSONField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="probe_set_name_once"),
            models.UniqueConstraint(fields=["project", "content_hash"], name="probe_set_content_once"),
        ]

    def __str__(self) -> str:
        return self.name
