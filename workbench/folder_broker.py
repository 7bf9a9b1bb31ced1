"""Kombu's broker of folders, for platforms without a wheel of Valkey, where several processes write and read at once.

Kombu gives a message its name before it writes it, and a reader that comes in between takes an empty file away: the
message is lost, and the worker ends with a JSONDecodeError (1 of 100 messages that are waited for without a pause). The
tables that say which queues an exchange has are read and written in the same manner.
"""

import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import filesystem
from kombu.utils.json import dumps

logger = logging.getLogger(__name__)


class Channel(filesystem.Channel):
    """Messages appear whole, tables are read and written in turn, and what cannot be read stops nobody."""

    def _put(self, queue: str, payload: dict[str, Any], **kwargs: Any) -> None:
        name = f"{time.time_ns():020}_{uuid.uuid4()}.{queue}.msg"
        whole = Path(self.data_folder_out) / name
        part = whole.with_name(f"{name}.part")
        try:
            part.write_text(dumps(payload), encoding="utf-8")
            part.replace(whole)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise ChannelError(f"The message cannot be written to {whole.parent}: {error}") from error

    def _get(self, queue: str) -> dict[str, Any]:
        """Raises queue.Empty if there is none. A file that a fault left behind has been moved away when it is read."""
        while True:
            try:
                return super()._get(queue)
            except ValueError as error:
                logger.warning("A message in the queue “%s” could not be read and is left out: %s", queue, error)

    def get_table(self, exchange: str) -> list[filesystem.exchange_queue_t]:
        with self._in_turn():
            return super().get_table(exchange)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        with self._in_turn():
            super()._queue_bind(exchange, routing_key, pattern, queue)

    def _delete(self, queue: str, exchange: str, routing_key: str, pattern: str, *args: Any, **kwargs: Any) -> None:
        with self._in_turn():
            super()._delete(queue, exchange, routing_key, pattern, *args, **kwargs)

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """One at a time, of all threads and processes. Kombu locks a table once it is open, which is too late."""
        self.control_folder.mkdir(parents=True, exist_ok=True)
        with (self.control_folder / "turn").open("wb") as file:
            filesystem.lock(file, filesystem.LOCK_EX)
            try:
                yield
            finally:
                filesystem.unlock(file)


class Transport(filesystem.Transport):
    """What `filesystem://` means here (celery.py)."""

    Channel = Channel
