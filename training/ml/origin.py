"""Judges where a model comes from before anything is loaded, and words what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub.errors import GatedRepoError
from safetensors import SafetensorError
from transformers import PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from training.ml.errors import ModelError, is_disk_full
from training.recipes.hub_ids import is_hub_id
from training.recipes.words import gettext_noop

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
# Of an adapter: its weights, PEFT's settings, and what we note about the model it was made for.
WEIGHTS, SETTINGS, MADE_FOR = "adapter_model.safetensors", "adapter_config.json", "made_for.json"


def require_safetensors(directory: Path) -> None:
    """Raises ModelError: "unknown_model" for a directory without a model, "pickle_only" for one of pickles alone."""
    if not (directory / "config.json").is_file():
        raise ModelError(
            "unknown_model",
            gettext_noop("The directory %(directory)s holds no model: it has no config.json."),
            gettext_noop("Give the directory that holds config.json, the tokenizer and the *.safetensors files."),
            directory=directory,
        )
    if any(directory.glob("*.safetensors")):
        return
    if any(path for pattern in PICKLES for path in directory.glob(pattern)):
        raise _pickle_only(str(directory))
    raise ModelError(
        "unknown_model",
        gettext_noop("The directory %(directory)s has no *.safetensors files."),
        gettext_noop("Copy the model's weights there as well."),
        directory=directory,
    )


def require_hub_id(base: str) -> None:
    """Raises ModelError("unknown_model") if `base` is a path that does not exist, or nothing a hub could know."""
    if not is_hub_id(base, owned=False):
        raise ModelError(
            "unknown_model",
            gettext_noop("There is no model at %(base)s: no such directory or GGUF file."),
            gettext_noop(
                "Check the path, which must be readable on the machine that does the work; a hub id looks like "
                "owner/name."
            ),
            base=repr(base),
        )


def require_causal_lm(base: str, config: PretrainedConfig) -> None:
    """Raises ModelError("not_causal_lm"). The saved architecture decides: transformers would load an encoder too."""
    names = config.architectures or []
    causal = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    if getattr(config, "is_encoder_decoder", False) or not causal.intersection(names):
        found = ", ".join(names) or config.model_type
        raise ModelError(
            "not_causal_lm",
            gettext_noop("%(base)s is no causal language model but %(found)s, so it cannot write responses."),
            gettext_noop("Choose a decoder-only chat model."),
            base=base,
            found=found,
        )


def require_adapter(directory: Path) -> None:
    """Raises ModelError: "unknown_model" if there is no adapter, "pickle_only" if its weights are not safetensors."""
    if not any((directory / name).is_file() for name in (SETTINGS, MADE_FOR)):
        raise ModelError(
            "unknown_model",
            gettext_noop("There is no adapter at %(directory)s."),
            gettext_noop("Check that the model it belongs to has not been removed."),
            directory=directory,
        )
    if not (directory / WEIGHTS).is_file():
        raise _pickle_only(str(directory))


def made_for(directory: Path) -> dict[str, Any]:
    """What an adapter of ours notes: its `method`, and the model it was made for; {} for one from elsewhere.

    Raises ModelError("broken_artifact").
    """
    path = directory / MADE_FOR
    if not path.is_file():
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable_note(path, error) from error
    if not isinstance(facts, dict) or not isinstance(facts.get("method"), str):
        raise _unreadable_note(path, "method")
    return facts


def method_of(directory: Path) -> str | None:
    """The method by which an adapter of ours was trained, or None."""
    return made_for(directory).get("method")


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
        if isinstance(error.__cause__, GatedRepoError):
            raise _gated(base) from error
        raise _unreadable(base, error) from error
    except (ValueError, KeyError, ImportError) as error:
        raise _unreadable(base, error) from error


def _pickle_only(where: str) -> ModelError:
    return ModelError(
        "pickle_only",
        gettext_noop("%(where)s has its weights only as pickle files, which can run code when they are read."),
        gettext_noop("Use a copy with *.safetensors files; most publishers offer one."),
        where=where,
    )


def _unreadable_note(path: Path, why: object) -> ModelError:
    return ModelError(
        "broken_artifact",
        gettext_noop("%(path)s cannot be read (%(why)s)."),
        gettext_noop("Run its training again, or choose another model."),
        path=path,
        why=why,
    )


def _gated(base: str) -> ModelError:
    return ModelError(
        "unknown_model",
        gettext_noop("The hub gives the model %(base)s only to those whom its owner lets read it."),
        gettext_noop(
            "Ask there for access. A worker reads with its own hub token (HF_TOKEN) where PLUMBLINE_HUB_READ=1 is set "
            "for it."
        ),
        base=repr(base),
    )


def _unreadable(base: str, error: Exception) -> ModelError:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ModelError(
        "unknown_model",
        gettext_noop("The model %(base)s could not be loaded: %(error)s"),
        gettext_noop(
            "Check the name. A hub model needs the network or a copy in the hub cache; a local one must be whole."
        ),
        base=repr(base),
        error=first,
    )
