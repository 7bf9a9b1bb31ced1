"""A round: snapshot -> reward model -> policy -> samples -> comparisons, as a list of runs."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from annotate.models import Batch, Project, Snapshot
from training.models.artifact import Artifact


class Round(models.Model):
    """Its stages are its runs in the order of `Run.stage`; its state is theirs."""

    project = models.ForeignKey(Project, models.CASCADE, verbose_name=_("project"), related_name="rounds")
    number = models.PositiveIntegerField(_("number"))
    snapshot = models.ForeignKey(Snapshot, models.PROTECT, verbose_name=_("snapshot"), related_name="rounds")
    base_policy = models.ForeignKey(
        Artifact, models.PROTECT, verbose_name=_("policy to begin with"), related_name="rounds_started"
    )
    batch = models.ForeignKey(
        Batch, models.PROTECT, verbose_name=_("batch"), null=True, blank=True, related_name="rounds"
    )
    # The last stage's samples, by the round's own reward model; those of rounds of before this was a choice are not.
    score_samples = models.BooleanField(_("samples are scored"), default=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("created by"), null=True, related_name="+"
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name, verbose_name_plural = _("round"), _("rounds")
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="round_number_once")]

    def __str__(self) -> str:
        return f"Round {self.number}"
