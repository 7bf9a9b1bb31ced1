"""The accounts of the demo: made once, their passwords kept in a file that only the owner of the workbench can read."""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from annotate.models import Role, User

TITLE = "Accounts of the demo (passwords as made on the first start):"


@dataclass(frozen=True)
class Cast:
    """Who plays in the demo. `role` None: a superuser, who is a manager everywhere."""

    username: str
    role: Role | None
    task: str


CAST = (
    Cast("admin", None, "everything, and /admin/"),
    Cast("lead", Role.MANAGER, "manager of the project demo: guideline, snapshots, rounds"),
    Cast("ann", Role.ANNOTATOR, "annotator"),
    Cast("ben", Role.ANNOTATOR, "annotator"),
    Cast("rev", Role.REVIEWER, "reviewer: sees everything, decides disputes"),
)


def load_accounts(path: Path, cast: Sequence[Cast] = CAST) -> dict[str, User]:
    """The accounts by name, those that are missing made. A password changed in the browser stays as it is.

    The file is written before the accounts, so that no account is ever left with a password that nobody knows.
    """
    passwords = _read(path)
    missing = [member for member in cast if member.username not in passwords]
    passwords |= {member.username: secrets.token_urlsafe(9) for member in missing}
    if missing:
        _write(path, passwords, cast)
    return {member.username: _account(member, passwords[member.username]) for member in cast}


def _account(member: Cast, password: str) -> User:
    user = User.objects.filter(username=member.username).first()
    if user:
        return user
    if member.role is None:
        return User.objects.create_superuser(member.username, password=password)
    return User.objects.create_user(member.username, password=password)


def _read(path: Path) -> dict[str, str]:
    """Lines of `name password what for`; the title and blank lines are none."""
    if not path.exists():
        return {}
    words = [line.split() for line in path.read_text().splitlines() if line.startswith("  ")]
    return {line[0]: line[1] for line in words if len(line) >= 2}


def _write(path: Path, passwords: dict[str, str], cast: Sequence[Cast]) -> None:
    """Readable by its owner from the first byte, and whole or not there."""
    rows = [f"  {member.username:8} {passwords[member.username]:14} {member.task}" for member in cast]
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write("\n".join([TITLE, *rows, ""]))
    temporary.replace(path)
