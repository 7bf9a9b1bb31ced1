"""What a request that starts something was answered first."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone

KEPT = timedelta(hours=24)


class FirstAnswerQuerySet(models.QuerySet["FirstAnswer"]):
    def outdated(self, now: datetime) -> "FirstAnswerQuerySet":
        """Whoever has not asked again by now does not."""
        return self.filter(at__lt=now - KEPT)


class FirstAnswer(models.Model):
    """`request` is a hash of what was asked for, `body` the JSON that was answered or, of a form, where it led to."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    request = models.CharField(max_length=64)
    # Written in the transaction that makes the row: no other one sees it without.
    status = models.PositiveSmallIntegerField(default=0)
    body = models.TextField(default="")
    at = models.DateTimeField(default=timezone.now, db_index=True)

    objects = FirstAnswerQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="first_answer_once")]

    def __str__(self) -> str:
        return f"{self.key} · {self.status}"
