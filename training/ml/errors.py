"""The error of this room that is told to people, and what the system's own errors mean."""

import errno


class ModelError(Exception):
    """A known failure. `code` is stable (the web side keys on it); `message` says what and where, `hint` what to do."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


def is_disk_full(error: BaseException) -> bool:
    """Whether the system said "no space left", also as safetensors and torch word it."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(words in str(error) for words in ("No space left on device", "PytorchStreamWriter failed writing"))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether host or GPU memory ran out; torch says so in a RuntimeError for the one and a subclass for the other."""
    words = str(error)
    return isinstance(error, MemoryError) or any(
        sign in words
        for sign in ("out of memory", "not enough memory", "can't allocate memory", "Cannot allocate memory")
    )
