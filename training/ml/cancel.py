"""Turns SIGTERM into a flag that the loops look at between steps."""

import signal
from types import FrameType


class Cancelled(Exception):
    """Raised by `check` once SIGTERM has come; run.py turns it into exit code 4."""


_requested = False


def install() -> None:
    """Call first thing in the process, before the slow imports, so that an early SIGTERM is not lost."""
    signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(signum: int, frame: FrameType | None) -> None:
    global _requested
    _requested = True


def requested() -> bool:
    return _requested


def check() -> None:
    """Raise Cancelled if SIGTERM has come."""
    if _requested:
        raise Cancelled


def reset() -> None:
    """Forget an earlier SIGTERM; a process that runs several jobs, as the tests do, calls it between them."""
    global _requested
    _requested = False
