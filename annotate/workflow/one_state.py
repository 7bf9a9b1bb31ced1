"""Reads of one moment, whatever is judged meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def one_state() -> Iterator[None]:
    """On SQLite a transaction holds that by itself. PostgreSQL has to be told before the first statement, which in
    tests that run in a transaction of their own has long been."""
    is_outermost = not connection.in_atomic_block
    with transaction.atomic(durable=True):
        if connection.vendor == "postgresql" and is_outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
