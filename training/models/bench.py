"""A bench: the same training with every adapter method, on one snapshot, as a group of runs."""

from django.conf import settings
from django.db import models

from annotate.models import Project, Snapshot
from training.models.artifact import Artifact


class Bench(models.Model):
    """Its cells are its runs, one a method; its state is theirs. `config`: what differs from the recipe's defaults, for
    all methods. `refused`: the methods that were given no run, by name: {"reason", "template", "values"}."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="benches")
    number = models.PositiveIntegerField()
    recipe = models.CharField(max_length=20)
    snapshot = models.ForeignKey(Snapshot, models.PROTECT, related_name="benches")
    model = models.ForeignKey(Artifact, models.PROTECT, related_name="benches")
    seed = models.PositiveBigIntegerField(default=0)
    config = models.JSONField(default=dict)
    refused = models.JSONField(default=dict)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="bench_number_once")]

    def __str__(self) -> str:
        return f"Bench {self.number}"
