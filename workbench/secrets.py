"""Secrets made on the first start, and other files that only the owner can read."""

import os
import secrets
import time
from contextlib import suppress
from pathlib import Path


def read_or_create_secret(path: Path) -> str:
    """Return the secret stored at `path`, creating it (mode 0600) when it is not there.

    Creation is exclusive, so that two processes starting together agree on one secret.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _wait_for_content(path)
    secret = secrets.token_urlsafe(48)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secret)
    except OSError:  # left there empty it would keep every later start from making one
        path.unlink()
        raise
    return secret


def make_private(path: Path) -> None:
    """An empty file at `path` that only the owner can read, where there is none: whoever fills it keeps that mode.

    SQLite does, and gives it to its journals. Left alone: what is there, what is no path, and what cannot be written,
    of which the database itself tells best."""
    if not str(path).startswith((":", "file:")):
        with suppress(OSError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def _wait_for_content(path: Path) -> str:
    """The other process has created the file but may not have written it yet."""
    for _ in range(50):
        if secret := path.read_text().strip():
            return secret
        time.sleep(0.02)
    raise RuntimeError(f"{path} is empty: delete it, and a new secret is made at the next start.")
