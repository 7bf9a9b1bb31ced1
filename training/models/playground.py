"""Playgrounds: what a run of this recipe is beside a run, and whether a project takes comparisons from them."""

from django.db import models

from annotate.models import Project
from training.models.run import Run


class Playground(models.Model):
    """What is said in it stands in the run's mailbox. Its models are `run.model` and `run.reference_model`."""

    run = models.OneToOneField(Run, models.CASCADE, related_name="playground")
    blind = models.BooleanField(default=False)
    # Whether the second model stands on the left (above, on a narrow screen): drawn once and recorded, if blind.
    flipped = models.BooleanField(default=False)
    revealed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-run_id"]

    def __str__(self) -> str:
        return str(self.run)

    @property
    def names_are_hidden(self) -> bool:
        return self.blind and self.revealed_at is None


class PlaygroundRule(models.Model):
    """A project without one takes no comparisons from its playgrounds."""

    project = models.OneToOneField(Project, models.CASCADE, related_name="playground_rule")
    takes_comparisons = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"{self.project}: {self.takes_comparisons}"
