"""How much memory the control groups of Linux leave to this process, as a container or a service is held to it.

Both versions are read: docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/memory.html.
"""

from pathlib import Path, PurePosixPath

V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/memory"


def memory_limits(root: Path = Path("/")) -> list[int]:
    """Bytes that this process's group, and every one above it, may take together. A container may find its own group
    in place of the first, whatever its path is outside: that one is looked at in any case."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found: list[int] = []
    for line in lines:
        _number, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        place, name = (V1, "memory.limit_in_bytes") if controllers else (V2, "memory.max")
        own = PurePosixPath(path.strip("/"))
        for group in {own, *own.parents}:
            found += _limit(root / place / group / name)
    return found


def _limit(path: Path) -> list[int]:
    """Nothing where it says "max", or there is no such group."""
    try:
        said = path.read_text(encoding="utf-8").strip()
    except OSError:
        return []
    return [int(said)] if said.isdigit() and int(said) else []
