"""What the header of a GGUF file says of its model, as the config.json that its conversion will write.

Read by our own few lines: gguf's reader makes an array of every token of the vocabulary, which takes seconds, and a
form asks at every change. Format: github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

MAGIC, VERSIONS = b"GGUF", (2, 3)
# Kinds of values, by their number in the format.
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
# A header is damaged, not large, where a text or a list is longer than this.
LONGEST = 1 << 26
# Families whose entries are named alike; of others a conversion decides more than the header tells.
FAMILIES = {
    "llama": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3": "gemma3_text",
}
ENTRIES = {
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "max_position_embeddings": "context_length",
}
EMBEDDINGS, OUTPUT = "token_embd.weight", "output.weight"


class BadHeader(Exception):
    """The file is no GGUF, or damaged."""


def config_of_header(path: Path) -> dict[str, Any] | None:
    """None for a file that is damaged, or whose family the header does not describe well enough."""
    try:
        with path.open("rb") as file:
            values, shapes = read_header(file)
    except (OSError, BadHeader):
        return None
    named = values.get("general.architecture")
    if named not in FAMILIES or EMBEDDINGS not in shapes:
        return None
    found = {ours: values.get(f"{named}.{theirs}") for ours, theirs in ENTRIES.items()}
    found["num_key_value_heads"] = values.get(f"{named}.attention.head_count_kv", found["num_attention_heads"])
    if values.get(f"{named}.expert_count") or any(not isinstance(value, int) for value in found.values()):
        return None
    # Some write no width of a head, which is that of its rotary part then, or the model's by the number of heads.
    head = values.get(f"{named}.attention.key_length", values.get(f"{named}.rope.dimension_count"))
    found |= {"head_dim": head} if isinstance(head, int) else {}
    own = {"model_type": FAMILIES[named], "vocab_size": shapes[EMBEDDINGS][-1]}
    return {**found, **own, "tie_word_embeddings": OUTPUT not in shapes}


def read_header(file: BinaryIO) -> tuple[Mapping[str, Any], Mapping[str, tuple[int, ...]]]:
    """Values by name, every list as an empty one, and the shapes of the tensors, the innermost dimension first. Raises
    BadHeader."""
    if file.read(4) != MAGIC or _number(file, "I") not in VERSIONS:
        raise BadHeader
    tensors, count = _number(file, "Q"), _number(file, "Q")
    values = {}
    for _ in range(count):
        name, kind = _text(file), _number(file, "I")
        values[name] = _skipped(file) if kind == ARRAY else _value(file, kind)
    return values, dict(_shapes(file, tensors))


def _shapes(file: BinaryIO, tensors: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for _ in range(tensors):
        name, dimensions = _text(file), _number(file, "I")
        if dimensions > 4:
            raise BadHeader
        yield name, tuple(_number(file, "Q") for _ in range(dimensions))
        _exactly(file, 4 + 8)  # how its numbers are packed, and where they lie


def _value(file: BinaryIO, kind: int) -> Any:
    return _text(file) if kind == STRING else _number(file, _code(kind))


def _skipped(file: BinaryIO) -> list[Any]:
    kind, length = _number(file, "I"), _number(file, "Q")
    if length > LONGEST:
        raise BadHeader
    if kind == STRING:
        for _ in range(length):
            _text(file)
    else:
        _exactly(file, length * struct.calcsize(f"<{_code(kind)}"))
    return []


def _code(kind: int) -> str:
    if kind not in NUMBERS:  # lists of lists, too, which nobody writes
        raise BadHeader
    return NUMBERS[kind]


def _text(file: BinaryIO) -> str:
    length = _number(file, "Q")
    if length > LONGEST:
        raise BadHeader
    return _exactly(file, length).decode("utf-8", errors="replace")


def _number(file: BinaryIO, code: str) -> Any:
    return struct.unpack(f"<{code}", _exactly(file, struct.calcsize(f"<{code}")))[0]


def _exactly(file: BinaryIO, length: int) -> bytes:
    found = file.read(length)
    if len(found) != length:
        raise BadHeader
    return found
