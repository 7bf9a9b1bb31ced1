"""Periodic work of the left wing."""

from celery import shared_task

from annotate.workflow import assignment


@shared_task
def expire_leases() -> int:
    """Slots of cards that were left open go back to the queue."""
    return assignment.expire_leases()
