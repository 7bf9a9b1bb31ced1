"""Says every few seconds that this worker lives, from a thread of its own: runs keep the others busy for days."""

import logging
import threading
from collections.abc import Callable

from django.db import DatabaseError, InterfaceError, connection

from training.workflow import workers

SECONDS = 10.0

logger = logging.getLogger(__name__)
_ended = threading.Event()


def begin() -> threading.Thread:
    """Call once in a worker that carries out runs; it has said that it lives when this returns."""
    _ended.clear()
    _said(workers.show)
    thread = threading.Thread(target=_beat, name="presence", daemon=True)
    thread.start()
    return thread


def end() -> None:
    """The thread says goodbye and ends."""
    _ended.set()


def _beat() -> None:
    while not _ended.wait(SECONDS):
        _said(workers.show)
    _said(workers.leave)


def _said(verb: Callable[[], None]) -> None:
    """The database may be away; the next beat tells then."""
    try:
        verb()
    except (DatabaseError, InterfaceError) as error:
        logger.warning("The worker could not say that it lives: %s", error)
    finally:
        # Nothing is held between two beats, and a server that was restarted is met anew.
        connection.close()
