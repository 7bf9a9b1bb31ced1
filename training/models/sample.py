"""Samples: which run and which model a response came from (the blind side of a comparison)."""

from django.db import models

from annotate.models import Response
from training.models.artifact import Artifact
from training.models.run import Run


class Sample(models.Model):
    """Lineage of one sampled response."""

    response = models.OneToOneField(Response, models.CASCADE, related_name="sample")
    run = models.ForeignKey(Run, models.PROTECT, related_name="samples")
    artifact = models.ForeignKey(Artifact, models.PROTECT, related_name="samples")
    tokens = models.PositiveIntegerField()
    # False when the response was cut at the maximum length: no EOS was seen.
    finished = models.BooleanField()
    # By the run's reward model, where it has one; whoever judges the response never sees it.
    score = models.FloatField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.artifact_id}: {self.response_id}"
