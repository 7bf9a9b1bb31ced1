"""Makes what a model or a process wrote fit for every database: PostgreSQL refuses the character NUL."""

from typing import Any

NUL, REPLACEMENT = "\x00", "\N{REPLACEMENT CHARACTER}"


def storable(value: Any) -> Any:
    """The value (text, or JSON of any depth) with a visible sign in place of each NUL."""
    if isinstance(value, str):
        return value.replace(NUL, REPLACEMENT)
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    return [storable(item) for item in value] if isinstance(value, list) else value
