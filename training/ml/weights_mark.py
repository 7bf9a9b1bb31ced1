"""Names the weights in a folder without reading them all, so that it shows when others have taken their place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from transformers import PretrainedConfig

# Of each tensor so many pieces are read, spread over it: what was trained further differs nearly everywhere.
PIECES, BYTES = 8, 64


def weights_mark(config: PretrainedConfig) -> str:
    """Of the model that was loaded with `config`: its folder's tensors, however they are dealt out to files, or the
    commit of the hub; "" where neither is known."""
    folder = Path(config.name_or_path or "")
    if config.name_or_path and folder.is_dir():
        return _of_folder(folder)
    return str(getattr(config, "_commit_hash", None) or "")


def _of_folder(folder: Path) -> str:
    files = sorted(folder.glob("*.safetensors"))
    tensors = sorted(tensor for path in files for tensor in _tensors(path))
    return hashlib.sha256(repr(tensors).encode()).hexdigest()[:32] if tensors else ""


def _tensors(path: Path) -> Iterator[tuple[str, str, list[int], str]]:
    """Name, type, shape and a hash of some bytes of each. Of the file's form: https://github.com/huggingface/safetensors
    (eight bytes of length, a header in JSON, the tensors)."""
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(start - 8))
        header.pop("__metadata__", None)
        for name, facts in header.items():
            begin, end = facts["data_offsets"]
            seen = hashlib.sha256()
            for piece in range(PIECES):
                file.seek(start + begin + piece * max(end - begin - BYTES, 0) // (PIECES - 1))
                seen.update(file.read(min(BYTES, end - begin)))
            yield name, facts["dtype"], facts["shape"], seen.hexdigest()
