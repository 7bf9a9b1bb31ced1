"""Demonstrations: prompts with a response worth imitating, for supervised fine-tuning."""

from django.conf import settings
from django.db import models

from annotate.models.project import Project
from annotate.models.snapshot import Split


class DemonstrationSet(models.Model):
    """One upload, immutable: `content_hash` covers its rows, and the same file twice is the same set."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="demonstration_sets")
    name = models.CharField(max_length=120)
    content_hash = models.CharField(max_length=64)
    # train, test
    counts = models.JSONField()
    # Holds train.parquet and test.parquet.
    folder = models.CharField(max_length=500)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="demonstration_set_name_once"),
            models.UniqueConstraint(fields=["project", "content_hash"], name="demonstration_set_content_once"),
        ]

    def __str__(self) -> str:
        return self.name


class Demonstration(models.Model):
    """`messages` is the prompt as in Prompt; the split goes by prompt, as in a snapshot."""

    set = models.ForeignKey(DemonstrationSet, models.CASCADE, related_name="demonstrations")
    key = models.CharField(max_length=200)
    messages = models.JSONField()
    response = models.TextField()
    split = models.CharField(max_length=5, choices=Split)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["set", "key"], name="demonstration_key_once")]

    def __str__(self) -> str:
        return self.key
