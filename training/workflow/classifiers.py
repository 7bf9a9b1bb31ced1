"""Reward models from elsewhere, by their files: classifiers of one label with a linear head called `score`."""

import json
from pathlib import Path
from typing import Any

# An encoder's reward model of ours, as it is exported.
ON_ENCODER = "EncoderForReward"
ENDINGS = ("ForSequenceClassification", ON_ENCODER)
HEAD = "score.weight"
INDEX = "model.safetensors.index.json"
# What transformers takes where a config.json names no labels.
UNNAMED = 2
LENGTH_BYTES, LONGEST_HEADER = 8, 100_000_000  # the longest that safetensors reads


def is_classifier(config: dict[str, Any]) -> bool:
    return any(str(name).endswith(ENDINGS) for name in config.get("architectures") or [])


def is_on_encoder(folder: Path) -> bool:
    config = folder / "config.json"
    return config.is_file() and ON_ENCODER in (_object(config.read_bytes()).get("architectures") or [])


def labels_of(config: dict[str, Any]) -> int:
    """As transformers counts them: the named ones, or else `num_labels`."""
    named, count = config.get("id2label"), config.get("num_labels")
    if isinstance(named, dict) and named:
        return len(named)
    return count if isinstance(count, int) else UNNAMED


def has_score_head(folder: Path) -> bool:
    """Whether the weights name one, by the index of their files or the header of the one file."""
    index = folder / INDEX
    if index.is_file():
        names = _object(index.read_bytes()).get("weight_map")
        return isinstance(names, dict) and HEAD in names
    return any(HEAD in _header(path) for path in folder.glob("*.safetensors"))


def _header(path: Path) -> dict[str, Any]:
    """Names and shapes of the tensors; https://huggingface.co/docs/safetensors#format"""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        return _object(file.read(length)) if length <= LONGEST_HEADER else {}


def _object(text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
