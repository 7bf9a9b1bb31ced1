"""Turns a GGUF file into an fp32 safetensors directory, once: the copy is cached under a hash of the content."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from gguf import GGUFReader
from transformers import AutoModelForCausalLM, AutoTokenizer

from training.ml.durable import fresh, settle, swap_in
from training.ml.errors import ModelError
from training.recipes.words import gettext_noop

BYTES_PER_WEIGHT = 4
# Tokenizer and configuration come to a few megabytes beside the weights.
SPARE_BYTES = 64 * 2**20


def converted(gguf: Path, cache: Path, on_start: Callable[[], None] = lambda: None) -> Path:
    """The safetensors copy of `gguf` in `cache`, made if it is not there (`on_start` is called then: it takes a while).

    Two processes may ask at once: the second waits for the first, and finds the copy.
    Raises ModelError: "disk_full", "unsupported_gguf".
    """
    target = cache / f"{gguf.stem}-{content_hash(gguf)[:16]}"
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{target.name}.lock"):
        if not settle(target):
            on_start()
            _require_space(gguf, cache)
            _convert(gguf, target)
    return target


def content_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # The lock goes with the process, so a killed conversion blocks nobody; the empty file stays.
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _convert(gguf: Path, target: Path) -> None:
    temporary = fresh(target)
    try:
        _write_copy(gguf, temporary)
        swap_in(temporary, target)
    except (ValueError, KeyError, NotImplementedError) as error:
        raise _unsupported(gguf, str(error)) from error
    finally:
        # After a success the directory has been renamed away, and there is nothing to remove.
        shutil.rmtree(temporary, ignore_errors=True)


def _write_copy(gguf: Path, directory: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # The weights are plain fp32 now, but transformers still takes the model for a quantised one and refuses to save it.
    for owner, name in ((model, "hf_quantizer"), (model.config, "quantization_config")):
        if hasattr(owner, name):
            delattr(owner, name)
    model.is_quantized = False
    # A GGUF tokenizer says 1e30; anything that trusts it would never truncate.
    tokenizer.model_max_length = model.config.max_position_embeddings
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def _require_space(gguf: Path, cache: Path) -> None:
    needed = _weights(gguf) * BYTES_PER_WEIGHT + SPARE_BYTES
    free = shutil.disk_usage(cache).free
    if free < needed:
        raise ModelError(
            "disk_full",
            gettext_noop(
                "The safetensors copy of %(name)s needs %(needed)s GB in %(cache)s, where %(free)s GB are free."
            ),
            gettext_noop("Make room on that disk and start the run again."),
            name=gguf.name,
            needed=f"{needed / 1e9:.1f}",
            cache=cache,
            free=f"{free / 1e9:.1f}",
        )


def _weights(gguf: Path) -> int:
    try:
        return sum(int(tensor.n_elements) for tensor in GGUFReader(gguf).tensors)
    except (ValueError, IndexError, KeyError) as error:
        raise _unsupported(gguf, str(error)) from error


def _unsupported(gguf: Path, why: str) -> ModelError:
    return ModelError(
        "unsupported_gguf",
        gettext_noop("%(path)s cannot be read as a GGUF language model: %(why)s"),
        gettext_noop("Check that the file is whole and its architecture is one that transformers can convert."),
        path=gguf,
        why=why,
    )


def main(gguf: str, cache: str) -> int:
    """`python -m training.ml.convert GGUF CACHE` prints the folder of the copy; 2 on a known failure."""
    try:
        print(converted(Path(gguf), Path(cache)))
    except ModelError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
