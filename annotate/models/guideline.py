"""The guideline: one draft, published versions that never change, and who has read which."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from annotate.models.project import Project


class GuidelineDraft(models.Model):
    """What the manager is writing; the only mutable text of the guideline."""

    project = models.OneToOneField(Project, models.CASCADE, related_name="guideline_draft")
    body = models.TextField(_("guideline"), blank=True)
    edited_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    edited_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.project} (draft)"


class GuidelineVersion(models.Model):
    """A published version. Rows are written once; judgments point at them."""

    project = models.ForeignKey(Project, models.CASCADE, verbose_name=_("project"), related_name="guideline_versions")
    number = models.PositiveIntegerField(_("number"))
    body = models.TextField(_("text"))
    summary = models.TextField(_("what changed"))
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("published by"), null=True, related_name="+"
    )
    published_at = models.DateTimeField(_("published"), auto_now_add=True)

    class Meta:
        verbose_name, verbose_name_plural = _("version of the guideline"), _("versions of the guideline")
        ordering = ["-number"]
        get_latest_by = "number"
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="guideline_version_number_once")]

    def __str__(self) -> str:
        return f"v{self.number}"


class GuidelineReading(models.Model):
    """The annotator was shown this version (or what changed in it) before judging under it."""

    version = models.ForeignKey(GuidelineVersion, models.CASCADE, related_name="readings")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="guideline_readings")
    read_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "user"], name="guideline_reading_once")]

    def __str__(self) -> str:
        return f"{self.user} · {self.version}"
