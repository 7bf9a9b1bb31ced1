"""A verb that comes in between, on a connection of its own."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

from django.db import connection

# Until it is taken for waiting: for a lock that the interrupted side holds.
PATIENCE = 0.5


@contextmanager
def meanwhile(mark: str, verb: Callable[[], Any]) -> Iterator[list[Future]]:
    """After the first statement of the block with `mark` in its SQL, `verb` runs until it ends or waits for a lock.

    What it raised, a deadlock for one, is raised at the end of the block; its result is in the one future then.
    """
    begun: list[Future] = []

    def on_its_own_connection() -> Any:
        try:
            return verb()
        finally:
            connection.close()

    def interrupt(execute: Callable, sql: str, params: Any, many: bool, context: dict) -> Any:
        result = execute(sql, params, many, context)
        if mark in str(sql) and not begun:
            begun.append(pool.submit(on_its_own_connection))
            wait(begun, timeout=PATIENCE)
        return result

    with ThreadPoolExecutor(1) as pool:
        with connection.execute_wrapper(interrupt):
            yield begun
        assert begun, f"no statement with {mark}"
        begun[0].result(timeout=60)
