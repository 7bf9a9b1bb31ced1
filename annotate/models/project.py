"""Projects, and who may do what in them."""

from typing import Self

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    """In rising order: each role may do what the ones before it may."""

    ANNOTATOR = "annotator", _("Annotator")
    REVIEWER = "reviewer", _("Reviewer")
    MANAGER = "manager", _("Manager")

    def allows(self, needed: "Role") -> bool:
        ladder = list(Role)
        return ladder.index(self) >= ladder.index(needed)


class Degrees(models.IntegerChoices):
    """How finely a project asks by how much the chosen response is better: one of so many degrees."""

    ONE = 1, _("Only which one is better")
    TWO = 2, _("Two degrees: slightly better, much better")
    THREE = 3, _("Three degrees: slightly better, better, much better")


class ProjectQuerySet(models.QuerySet["Project"]):
    def of_member(self, user: "settings.AUTH_USER_MODEL") -> Self:  # type: ignore[name-defined]
        return self if user.is_superuser else self.filter(memberships__user=user)


class Project(models.Model):
    """One body of prompts, one guideline, one team."""

    slug = models.SlugField(_("short name"), unique=True, max_length=60, help_text=_("Used in addresses and commands."))
    name = models.CharField(_("name"), max_length=120)
    description = models.TextField(_("description"), blank=True)
    overlap = models.PositiveSmallIntegerField(
        _("overlap"),
        default=2,
        validators=[MinValueValidator(1), MaxValueValidator(50)],
        help_text=_("Judgments wanted per comparison, each by another person."),
    )
    lease_minutes = models.PositiveSmallIntegerField(
        _("lease (minutes)"),
        default=60,
        validators=[MinValueValidator(1), MaxValueValidator(24 * 60)],
        help_text=_("How long a comparison is kept for the person who has it open."),
    )
    degrees = models.PositiveSmallIntegerField(
        _("degrees of preference"),
        choices=Degrees,
        default=Degrees.ONE,
        help_text=_("By how much the chosen response is better; it stays one key a comparison."),
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("project"), _("projects")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=models.Q(overlap__gte=1), name="project_overlap_at_least_one"),
            models.CheckConstraint(condition=models.Q(degrees__in=Degrees.values), name="project_known_degrees"),
        ]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """The role of one person in one project."""

    project = models.ForeignKey(Project, models.CASCADE, verbose_name=_("project"), related_name="memberships")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, verbose_name=_("user"), related_name="memberships"
    )
    role = models.CharField(_("role"), max_length=12, choices=Role, default=Role.ANNOTATOR)
    joined_at = models.DateTimeField(_("joined"), auto_now_add=True)

    class Meta:
        verbose_name, verbose_name_plural = _("role in a project"), _("roles in projects")
        ordering = ["user__username"]
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="membership_once_per_person"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_known_role"),
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.get_role_display()}"
