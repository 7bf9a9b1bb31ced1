"""Work of the left wing in the background: periodic, and what takes too long for a page."""

import logging
from typing import Any

from celery import Task, current_app, shared_task
from kombu.exceptions import OperationalError

from annotate.models import Project
from annotate.workflow import agreement_summary, assignment, once

logger = logging.getLogger(__name__)

MESSAGE_SECONDS = 300


@shared_task
def expire_leases() -> int:
    """Slots of cards that were left open go back to the queue; answers that were kept for repeats are forgotten."""
    freed = assignment.expire_leases()
    once.forget_outdated()
    return freed


@shared_task
def refresh_agreement(project_id: int) -> bool:
    """The agreement page of a large project, after judgments have come."""
    return agreement_summary.refresh_summary(Project.objects.get(pk=project_id))


def ask_for_agreement(project: Project) -> None:
    send_if_there_is_a_broker(refresh_agreement, project.pk)


def send_if_there_is_a_broker(task: Task, *arguments: Any) -> None:
    """For numbers that a page keeps: without a broker they stay as old as they say they are, and a button computes."""
    try:
        with current_app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
            task.apply_async(arguments, connection=connection, expires=MESSAGE_SECONDS)
    except OperationalError as error:
        logger.warning("%s%s is not sent, the broker is away: %s", task.name, arguments, error)
