"""Workers: the processes that carry out runs, as they say themselves every few seconds.

Who lives is told by the database's clock, here and for the heartbeats of runs: those of hosts may differ by minutes.
"""

from datetime import timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class WorkerQuerySet(models.QuerySet["Worker"]):
    def alive(self) -> Self:
        return self.filter(seen_at__gte=Now() - timedelta(seconds=settings.HEARTBEAT_TIMEOUT))


class Worker(models.Model):
    """`name` is that of `Run.worker`; `slots` its devices: {"slot": "host:gpu0", "serves": ["any", "gpu"]}."""

    name = models.CharField(max_length=200, unique=True)
    slots = models.JSONField(default=list)
    seen_at = models.DateTimeField()

    objects = WorkerQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
