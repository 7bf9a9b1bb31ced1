"""Runs: one job of the training room, its states, its claim and its history."""

from datetime import timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from annotate.models import Batch, DemonstrationSet, FeedbackSet, Project, Snapshot

LARGEST_SEED = 2**32 - 1  # numpy, which some trainers seed, takes no larger one


class RunState(models.TextChoices):
    WAITING = "waiting", _("Waiting for the stage before it")
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    CANCELLING = "cancelling", _("Stopping at the next step")
    SUCCEEDED = "succeeded", _("Done")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


class Priority(models.IntegerChoices):
    """Whose turn it is among the queued runs: the highest first, and of equals the oldest."""

    HIGH = 1, _("High")
    NORMAL = 0, _("Normal")
    LOW = -1, _("Low")


class DeviceWish(models.TextChoices):
    """What a run wants to be carried out on."""

    ANY = "any", _("Any device")
    GPU = "gpu", _("A GPU")
    CPU = "cpu", _("The CPU")


ACTIVE = (RunState.RUNNING, RunState.CANCELLING)
NOT_BEGUN = (RunState.WAITING, RunState.QUEUED)


# Codes of failures that lie in data, settings or model: a run that is resumed as it is fails by them again.
OF_ITS_OWN = frozenset(
    {
        *("bad_config", "empty_data", "bad_data", "bad_prompt", "bad_prompts", "prompt_too_long", "text_too_long"),
        *("nan_loss", "out_of_memory", "nothing_trained", "unsupported_model", "wrong_base", "no_biases", "no_eos"),
        *("not_causal_lm", "not_reward_model", "no_reward_model", "no_chat_template", "no_separator"),
        *("adapter_not_mergeable", "one_process_only", "foreign_checkpoint"),
    }
)


class RunQuerySet(models.QuerySet["Run"]):
    def active(self) -> Self:
        return self.filter(state__in=ACTIVE)

    def queued(self) -> Self:
        return self.filter(state=RunState.QUEUED).order_by("-priority", "id")

    def unfinished(self) -> Self:
        return self.filter(state__in=(*NOT_BEGUN, *ACTIVE))


class Run(models.Model):
    """`slot` names the device that an active run occupies ("host:gpu0"); UNIQUE, so that one device never has two."""

    project = models.ForeignKey(Project, models.CASCADE, verbose_name=_("project"), related_name="runs")
    recipe = models.CharField(_("recipe"), max_length=20)
    name = models.CharField(_("name"), max_length=120)
    state = models.CharField(_("state"), max_length=10, choices=RunState, default=RunState.QUEUED)
    config = models.JSONField(_("settings"), default=dict)
    seed = models.PositiveBigIntegerField(_("seed"), default=0)
    priority = models.SmallIntegerField(_("priority"), choices=Priority, default=Priority.NORMAL)
    device = models.CharField(_("device"), max_length=3, choices=DeviceWish, default=DeviceWish.ANY)
    # Kept at the top of the project's list.
    pinned = models.BooleanField(_("pinned"), default=False)
    snapshot = models.ForeignKey(
        Snapshot, models.PROTECT, verbose_name=_("snapshot"), null=True, blank=True, related_name="runs"
    )
    model = models.ForeignKey(
        "training.Artifact", models.PROTECT, verbose_name=_("model"), null=True, blank=True, related_name="used_by_runs"
    )
    reference_model = models.ForeignKey(
        "training.Artifact", models.PROTECT, verbose_name=_("reference"), null=True, blank=True, related_name="+"
    )
    # What PPO, RLOO and GRPO are rewarded by, and what scores the responses of a sampling run.
    reward_model = models.ForeignKey(
        "training.Artifact", models.PROTECT, verbose_name=_("reward model"), null=True, blank=True, related_name="+"
    )
    # What supervised fine-tuning learns from, in place of a snapshot.
    demonstrations = models.ForeignKey(
        DemonstrationSet, models.PROTECT, verbose_name=_("demonstrations"), null=True, blank=True, related_name="runs"
    )
    # Single votes that KTO learns from, in place of a snapshot.
    feedback = models.ForeignKey(
        FeedbackSet, models.PROTECT, verbose_name=_("feedback"), null=True, blank=True, related_name="runs"
    )
    # A sampling run's prompts, in order; its samples become comparisons of the batch.
    prompt_ids = models.JSONField(_("prompts"), default=list, blank=True)
    batch = models.ForeignKey(
        Batch, models.PROTECT, verbose_name=_("batch"), null=True, blank=True, related_name="runs"
    )
    round = models.ForeignKey(
        "training.Round", models.CASCADE, verbose_name=_("round"), null=True, blank=True, related_name="runs"
    )
    stage = models.PositiveSmallIntegerField(_("stage"), default=0)
    bench = models.ForeignKey(
        "training.Bench", models.CASCADE, verbose_name=_("bench"), null=True, blank=True, related_name="runs"
    )

    attempt = models.PositiveIntegerField(_("attempt"), default=0)
    slot = models.CharField(_("occupied device"), max_length=200, null=True, blank=True)
    worker = models.CharField(_("worker"), max_length=200, blank=True)
    heartbeat_at = models.DateTimeField(_("last heartbeat"), null=True, blank=True)
    progress = models.JSONField(_("progress"), default=dict, blank=True)
    result = models.JSONField(_("result"), default=dict, blank=True)
    reason = models.TextField(_("reason"), blank=True)
    hint = models.TextField(_("hint"), blank=True)
    # The training process's own words for `reason` and `hint` as templates, so that each reader sees their language.
    failure = models.JSONField(_("reason as a template"), default=dict, blank=True)
    log_tail = models.TextField(_("end of the log"), blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("created by"), null=True, related_name="+"
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    # When the worker that has it took it, and how long workers before it had it.
    taken_at = models.DateTimeField(_("taken"), null=True, blank=True)
    worked = models.DurationField(_("time of earlier workers"), default=timedelta)

    objects = RunQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("run"), _("runs")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["slot"], name="run_slot_once"),
            models.UniqueConstraint(fields=["round", "stage"], condition=Q(round__isnull=False), name="run_stage_once"),
            models.CheckConstraint(
                condition=Q(state__in=ACTIVE, slot__isnull=False) | (~Q(state__in=ACTIVE) & Q(slot__isnull=True)),
                name="run_slot_only_while_active",
            ),
        ]
        indexes = [models.Index(fields=["state", "-priority", "id"], name="run_queue")]

    def __str__(self) -> str:
        return self.name

    @property
    def time_taken(self) -> timedelta | None:
        """By all of its workers together, up to the last heartbeat of one at work: both ends by the database's clock.
        None before the first."""
        if self.started_at is None:
            return None
        told = self.is_active and self.taken_at and self.heartbeat_at
        return self.worked + (self.heartbeat_at - self.taken_at if told else timedelta())

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE

    @property
    def has_not_begun(self) -> bool:
        return self.state in NOT_BEGUN

    @property
    def is_over(self) -> bool:
        return self.state in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)

    @property
    def can_resume(self) -> bool:
        return self.state in (RunState.FAILED, RunState.CANCELLED)

    @property
    def would_fail_again(self) -> bool:
        """Resumed as it is: it needs other data or settings, which a clone can have."""
        return self.state == RunState.FAILED and self.failure.get("code") in OF_ITS_OWN


class RunEvent(models.Model):
    """History: every change of a run's state, written by the verb that made it."""

    run = models.ForeignKey(Run, models.CASCADE, verbose_name=_("run"), related_name="events")
    state = models.CharField(_("state"), max_length=10, choices=RunState)
    detail = models.TextField(_("detail"), blank=True)
    # `detail` as a template with its values, so that each reader sees their language.
    words = models.JSONField(_("detail as a template"), default=dict, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("who"), null=True, related_name="+"
    )
    at = models.DateTimeField(_("when"), auto_now_add=True)

    class Meta:
        verbose_name, verbose_name_plural = _("event of a run"), _("events of a run")
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.run_id} → {self.state}"
