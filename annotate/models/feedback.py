"""Feedback: single votes, each on one response to a prompt without a partner, for KTO."""

from django.conf import settings
from django.db import models

from annotate.models.project import Project
from annotate.models.snapshot import Split


class FeedbackSet(models.Model):
    """One upload, immutable: `content_hash` covers its rows, and the same file twice is the same set."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="feedback_sets")
    name = models.CharField(max_length=120)
    content_hash = models.CharField(max_length=64)
    # train, test, train_desirable, test_desirable
    counts = models.JSONField()
    # Holds train.parquet and test.parquet.
    folder = models.CharField(max_length=500)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="feedback_set_name_once"),
            models.UniqueConstraint(fields=["project", "content_hash"], name="feedback_set_content_once"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def desirable(self) -> int:
        """Of those to train on."""
        return self.counts["train_desirable"]

    @property
    def undesirable(self) -> int:
        return self.counts["train"] - self.counts["train_desirable"]

    @property
    def test_undesirable(self) -> int:
        return self.counts["test"] - self.counts["test_desirable"]


class Feedback(models.Model):
    """One vote. `messages` is the prompt as in Prompt; the split goes by prompt, as in a snapshot."""

    set = models.ForeignKey(FeedbackSet, models.CASCADE, related_name="votes")
    key = models.CharField(max_length=200)
    messages = models.JSONField()
    response = models.TextField()
    desirable = models.BooleanField()
    split = models.CharField(max_length=5, choices=Split)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["set", "key"], name="feedback_key_once")]

    def __str__(self) -> str:
        return self.key
