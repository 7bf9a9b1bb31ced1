"""Tasks of the right wing: supervise a run, put right what a lost worker or message left behind, renew reports."""

import logging
from typing import Any

from celery import current_app, shared_task
from celery.signals import worker_ready, worker_shutting_down
from django.db import transaction
from kombu.exceptions import OperationalError

from annotate.models import Project
from annotate.tasks import send_if_there_is_a_broker
from annotate.workflow.exceptions import DATABASE_AWAY
from training.workflow import presence, reports, rounds, runner, runs, waiting

logger = logging.getLogger(__name__)

# Workers that listen to it carry out runs (CELERY_TASK_ROUTES).
QUEUE = "gpu"


@shared_task
def execute_run(run_id: int) -> str:
    """A message says that there is work, and not which: brokers deliver in order, and the queue has priorities."""
    state = runner.execute_next()
    logger.info("Message of run %s: %s", run_id, state or "nothing to take")
    if state:
        dispatch_queued()
    return state


@shared_task
def reconcile_runs() -> int:
    """Runs of lost workers go back to the queue, rounds go on, queued runs are sent again."""
    taken_back = runs.reconcile()
    rounds.advance_all()
    dispatch_queued()
    return len(taken_back)


@shared_task
def refresh_report(project_id: int, kind: str, query: dict[str, Any]) -> bool:
    """Ratings, or the value of labels, of a large project, after judgments have come."""
    return reports.refresh_report(Project.objects.get(pk=project_id), reports.KINDS[kind], query)


def ask_for_report(project: Project, kind: reports.Kind, query: dict[str, Any]) -> None:
    send_if_there_is_a_broker(refresh_report, project.pk, kind.name, query)


def dispatch_queued() -> None:
    """Whenever a run was queued: tells the workers that there is something to begin, once the transaction is committed.
    Which run that is, is the queue's concern; harmless if they know."""
    transaction.on_commit(_send)


def _send() -> None:
    """The runs stand in the database: a broker that is away, or the database just then, only delays them until the next
    reconciliation. Whoever queued a run is not told to try again: it would be there twice.

    No message expires, because that is looked at with the receiver's clock. A connection of its own, because the pool's
    would have the page wait for six seconds before it gives up.
    """
    try:
        wanted = waiting.to_announce()
    except DATABASE_AWAY as error:
        logger.warning("The workers are not told of queued runs, the database is away: %s", error)
        return
    if not wanted:
        return
    try:
        with current_app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
            for run in wanted:
                execute_run.apply_async((run.pk,), connection=connection)
    except OperationalError as error:
        logger.warning("%s run(s) stay queued, the broker is away: %s", len(wanted), error)


@worker_ready.connect
def _begin(sender: Any = None, **kwargs: Any) -> None:
    """A worker that was killed finds its runs again without waiting for the timetable."""
    if QUEUE in sender.app.amqp.queues.consume_from:
        presence.begin()
    reconcile_runs.delay()


@worker_shutting_down.connect
def _stop_runs(**kwargs: Any) -> None:
    """Each run saves a checkpoint and goes back to the queue; the next start goes on with it."""
    runner.stopping.set()
    presence.end()
