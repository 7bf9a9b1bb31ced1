"""The error of this room that is told to people, and what the system's own errors mean."""

import errno
import json
import os
import sys
from contextlib import suppress
from pathlib import Path

NO_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "Cannot allocate memory",
    "STATUS_ALLOC_FAILED",
)


class ModelError(Exception):
    """A known failure. `code` is stable (the web side keys on it); `message` says what and where, `hint` what to do.

    Both are templates in English, marked with `gettext_noop`, and `values` fills their %(name)s: whoever shows them
    translates the template first."""

    def __init__(self, code: str, message: str, hint: str = "", **values: object) -> None:
        self.code = code
        self.template = message
        self.hint_template = hint
        self.values = {name: value if isinstance(value, int | float) else str(value) for name, value in values.items()}
        self.message = message % self.values if values else message
        self.hint = hint % self.values if values else hint
        super().__init__(self.message)

    def told(self) -> dict[str, object]:
        """What error.json holds: the words in English, and what a translator needs."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "template": self.template if self.values else "",
            "hint_template": self.hint_template if self.values else "",
            "values": self.values,
        }


def tell(directory: Path, error: ModelError) -> None:
    """Write `error` into error.json, whole or not at all: several processes may fail of the same cause at once. The
    last line of the log says it as well."""
    temporary = directory / f"error.{os.getpid()}.tmp"
    try:
        temporary.write_text(json.dumps(error.told(), ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(temporary, directory / "error.json")
    except OSError as failure:
        # On a full disk there may be no room even for this, on a read-only one never; log and exit code still tell.
        print(f"error.json could not be written: {failure}", file=sys.stderr)
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    print(f"{error.code}: {error.message} {error.hint}", file=sys.stderr)


def is_disk_full(error: BaseException) -> bool:
    """Whether the system said "no space left", also as safetensors and torch word it, or under an error that came of
    it: torch fails once more while it closes the file."""
    beneath: BaseException | None = error
    while beneath is not None:
        if isinstance(beneath, OSError) and beneath.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if any(words in str(beneath) for words in ("No space left on device", "PytorchStreamWriter failed writing")):
            return True
        beneath = beneath.__cause__ or beneath.__context__
    return False


def is_out_of_memory(error: BaseException) -> bool:
    """Whether host or GPU memory ran out; torch says so in a RuntimeError for the one and a subclass for the other. The
    libraries of a GPU (cuBLAS, cuDNN) take memory past torch's allocator, and have words of their own for it."""
    words = str(error)
    return isinstance(error, MemoryError) or any(sign in words for sign in NO_MEMORY)


def is_forbidden(error: BaseException) -> bool:
    """Whether the system does not let us write or read there: a mount that is read-only, or somebody else's file."""
    return isinstance(error, OSError) and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM)


def forget(directory: Path) -> None:
    """Removes what an earlier attempt told. Where that cannot be done the first write fails too, and is told with its
    reason."""
    with suppress(OSError):
        (directory / "error.json").unlink(missing_ok=True)
