"""Finds the config.json of a model without loading the model, asking the network or converting anything."""

import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from training.models import Artifact
from training.recipes import RecipeError
from training.recipes.estimate import Architecture, read_architecture
from training.workflow.artifacts import model_spec
from training.workflow.exceptions import BadConfig, BadInput
from training.workflow.gguf_header import config_of_header
from training.workflow.told import in_readers_language

HASHED = 16  # digits of a file's hash in the name of its converted copy (training/ml/convert.py)


def config_of(model: Artifact) -> dict[str, Any]:
    """The config.json of the model that it stands on. Raises BadInput where it is not on this machine yet."""
    base = str(model_spec(model)["base"])
    path = Path(base).expanduser()
    if path.is_dir():
        return read_config(path / "config.json")
    found = _of_gguf(path) if path.is_file() else _of_hub(base)
    if found is None and path.is_file() and (header := _header_of(path)) is not None:
        return header
    if found is None:
        raise BadInput(
            _("The config.json of “%(model)s” is not on this machine yet.") % {"model": model},
            _("It is known once a run has downloaded or converted the model."),
            where="model",
        )
    return read_config(found)


def architecture_of(model: Artifact) -> Architecture:
    """Raises BadInput as `config_of`, and BadConfig as `architecture`."""
    return architecture(config_of(model))


def architecture(config: dict[str, Any]) -> Architecture:
    """Raises BadConfig for a config.json that cannot be used."""
    try:
        return read_architecture(config)
    except RecipeError as error:
        said = in_readers_language(error.message, error.template, error.values)
        raise BadConfig(said, _("Give the config.json of a language model."), field="config") from error


def read_config(path: Path) -> dict[str, Any]:
    """Of the file, or of the folder that it lies in. Raises BadInput saying what is wrong with it."""
    path = path / "config.json" if path.is_dir() else path
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))  # editors on Windows put a mark before it
    except OSError as error:
        said = _("%(path)s cannot be read: %(error)s.") % {"path": path, "error": error.strerror}
        raise BadInput(said, _("Give the config.json of a model."), where="config") from error
    except (ValueError, RecursionError) as error:
        said = _("%(path)s cannot be read as JSON: %(error)s.") % {"path": path, "error": error}
        raise BadInput(said, _("Give the config.json of a model."), where="config") from error
    if isinstance(content, dict):
        return content
    said = _("%(path)s holds no object of names and values.") % {"path": path}
    raise BadInput(said, _("Give the config.json of a model."), where="config")


def _of_gguf(path: Path) -> Path | None:
    """Of its converted copy, if there is one."""
    facts = path.stat()
    name = f"{path.stem}-{_content_hash(str(path), facts.st_size, facts.st_mtime_ns)[:HASHED]}"
    found = Path(settings.MODELS_DIR) / name / "config.json"
    return found if found.is_file() else None


def _header_of(path: Path) -> dict[str, Any] | None:
    facts = path.stat()
    return _header(str(path), facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=64)
def _header(path: str, _size: int, _changed: int) -> dict[str, Any] | None:
    return config_of_header(Path(path))


@lru_cache(maxsize=64)
def _content_hash(path: str, _size: int, _changed: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_hub(name: str) -> Path | None:
    """From the cache of the hub's library on this machine, at the commit that "main" stood for when it was loaded."""
    folder = _hub_cache() / f"models--{name.replace('/', '--')}"
    try:
        commit = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    found = folder / "snapshots" / commit / "config.json"
    return found if found.is_file() else None


def _hub_cache() -> Path:
    if cache := os.environ.get("HF_HUB_CACHE"):
        return Path(cache).expanduser()
    home = os.environ.get("HF_HOME", Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface")
    return Path(home).expanduser() / "hub"
