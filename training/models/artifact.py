"""Artifacts: models and adapters on disk, and what they were made from."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from annotate.models import Project, Snapshot


class Task(models.TextChoices):
    POLICY = "policy", _("Policy")
    REWARD = "reward", _("Reward model")
    ENCODER = "encoder", _("Encoder")  # reads texts and writes none: reward models can be trained on it


class PresentArtifacts(models.Manager["Artifact"]):
    """Those that have not been deleted."""

    def get_queryset(self) -> models.QuerySet["Artifact"]:
        return super().get_queryset().filter(deleted_at__isnull=True)


class Artifact(models.Model):
    """A registered base model (no `run`), or the product of a run: a folder with a manifest.

    A deleted one keeps its row, so that samples, judgments and later models still say what they came from: `objects`
    leaves it out, `ever` does not."""

    project = models.ForeignKey(Project, models.CASCADE, verbose_name=_("project"), related_name="artifacts")
    name = models.CharField(_("name"), max_length=120)
    task = models.CharField(_("task"), max_length=8, choices=Task, default=Task.POLICY)
    location = models.CharField(
        _("location"),
        max_length=1000,
        help_text=_("A folder of safetensors, a hub id, or a GGUF file on the worker's disk."),
    )
    is_adapter = models.BooleanField(_("adapter"), default=False)
    parent = models.ForeignKey(
        "self", models.PROTECT, verbose_name=_("parent"), null=True, blank=True, related_name="children"
    )
    run = models.OneToOneField(
        "training.Run", models.PROTECT, verbose_name=_("run"), null=True, blank=True, related_name="artifact"
    )
    snapshot = models.ForeignKey(
        Snapshot, models.PROTECT, verbose_name=_("snapshot"), null=True, blank=True, related_name="artifacts"
    )
    manifest = models.JSONField(_("manifest"), default=dict, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    deleted_at = models.DateTimeField(_("deleted"), null=True, blank=True)
    deleted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("deleted by"), null=True, blank=True, related_name="+"
    )

    objects = PresentArtifacts()
    ever: models.Manager["Artifact"] = models.Manager()

    class Meta:
        verbose_name, verbose_name_plural = _("model"), _("models")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"], condition=models.Q(deleted_at__isnull=True), name="artifact_name_once"
            )
        ]

    def __str__(self) -> str:
        return self.name
