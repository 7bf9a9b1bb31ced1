"""The Celery application; brokers and schedules are settings."""

import os
import threading
import time
from typing import Any

from celery import Celery
from celery.signals import beat_embedded_init
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "workbench.settings")
TRANSPORT_ALIASES["filesystem"] = "workbench.folder_broker:Transport"  # a URL names a transport by its scheme alone
app = Celery("plumbline")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

SECONDS = 1.0


@beat_embedded_init.connect
def _end_with_the_worker(**kwargs: Any) -> None:
    """The beat of `worker -B` is a process of its own, and Celery lets it outlive a worker that was killed: each start
    after that would add another timetable, and 130 MB."""
    threading.Thread(target=_watch, args=(os.getppid(),), name="parent", daemon=True).start()


def _watch(worker: int) -> None:
    """A process whose parent dies is given another one."""
    while os.getppid() == worker:
        time.sleep(SECONDS)
    os._exit(0)
