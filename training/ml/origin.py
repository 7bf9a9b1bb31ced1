"""Judges where a model comes from before anything is loaded, and words what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from transformers import PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from training.ml.errors import ModelError, is_disk_full

HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def require_safetensors(directory: Path) -> None:
    """Raises ModelError: "unknown_model" for a directory without a model, "pickle_only" for one of pickles alone."""
    if not (directory / "config.json").is_file():
        raise ModelError(
            "unknown_model",
            f"The directory {directory} holds no model: it has no config.json.",
            "Give the directory that holds config.json, the tokenizer and the *.safetensors files.",
        )
    if any(directory.glob("*.safetensors")):
        return
    if any(path for pattern in PICKLES for path in directory.glob(pattern)):
        raise _pickle_only(str(directory))
    raise ModelError(
        "unknown_model",
        f"The directory {directory} has no *.safetensors files.",
        "Copy the model's weights there as well.",
    )


def require_hub_id(base: str) -> None:
    """Raises ModelError("unknown_model") if `base` is a path that does not exist, or nothing a hub could know."""
    path_like = base.startswith(("/", ".", "~")) or base.lower().endswith(".gguf")
    if path_like or not HUB_ID.fullmatch(base):
        raise ModelError(
            "unknown_model",
            f"There is no model at {base!r}: no such directory or GGUF file.",
            "Check the path, which must be readable on the machine that does the work; a hub id looks like owner/name.",
        )


def require_causal_lm(base: str, config: PretrainedConfig) -> None:
    """Raises ModelError("not_causal_lm"). The saved architecture decides: transformers would load an encoder too."""
    names = config.architectures or []
    causal = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    if getattr(config, "is_encoder_decoder", False) or not causal.intersection(names):
        found = ", ".join(names) or config.model_type
        raise ModelError(
            "not_causal_lm",
            f"{base} is no causal language model but {found}, so it cannot write responses.",
            "Choose a decoder-only chat model.",
        )


def require_adapter(directory: Path) -> None:
    """Raises ModelError: "unknown_model" if there is no adapter, "pickle_only" if its weights are not safetensors."""
    if not (directory / "adapter_config.json").is_file():
        raise ModelError(
            "unknown_model",
            f"There is no adapter at {directory}.",
            "Check that the model it belongs to has not been removed.",
        )
    if not (directory / "adapter_model.safetensors").is_file():
        raise _pickle_only(str(directory))


@contextmanager
def load_errors(base: str) -> Iterator[None]:
    """Turns what transformers raises while it reads a model into a ModelError."""
    try:
        yield
    except SafetensorError as error:
        raise _unreadable(base, error) from error
    except OSError as error:
        if is_disk_full(error):
            raise
        if "use_safetensors=True" in str(error):
            raise _pickle_only(base) from error
        raise _unreadable(base, error) from error
    except (ValueError, KeyError, ImportError) as error:
        raise _unreadable(base, error) from error


def _pickle_only(where: str) -> ModelError:
    return ModelError(
        "pickle_only",
        f"{where} has its weights only as pickle files, which can run code when they are read.",
        "Use a copy with *.safetensors files; most publishers offer one.",
    )


def _unreadable(base: str, error: Exception) -> ModelError:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ModelError(
        "unknown_model",
        f"The model {base!r} could not be loaded: {first}",
        "Check the name. A hub model needs the network or a copy in the hub cache; a local one must be whole.",
    )
