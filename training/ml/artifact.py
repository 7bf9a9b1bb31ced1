"""Writes and reads a run's result: safetensors weights, tokenizer, and a manifest that says where they come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from training.ml.durable import fresh, swap_in
from training.ml.errors import ModelError
from training.ml.fallbacks import fallbacks
from training.ml.job import Job
from training.ml.memory import peak_memory
from training.recipes.words import gettext_noop

FORMAT = 1
PACKAGES = ("torch", "transformers", "peft", "tokenizers", "safetensors", "numpy")


def write_artifact(job: Job, save: Callable[[Path], None], facts: dict[str, Any]) -> dict[str, Any]:
    """`save(directory)` writes weights and tokenizer; `facts` are the manifest's fields that only the recipe knows
    (kind, task, config, parameters, metrics, data, seconds, device, precision). Returns the manifest."""
    target = job.directory / "artifact"
    temporary = fresh(target)
    save(temporary)
    if not weight_files(temporary):
        raise ModelError(
            "no_weights",
            gettext_noop("The %(recipe)s run saved no safetensors weights."),
            gettext_noop("Report this defect."),
            recipe=job.recipe,
        )
    size = sum(path.stat().st_size for path in weight_files(temporary))
    measured = {"weights_sha256": weights_sha256(temporary), "weights_bytes": size, "peak": peak_memory()}
    manifest = {**_manifest(job), **facts, **measured}
    text = json.dumps(manifest, ensure_ascii=False, indent=1)
    (temporary / "manifest.json").write_text(text + "\n", encoding="utf-8")
    swap_in(temporary, target)
    return manifest


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of an artifact; raises ModelError("broken_artifact")."""
    path = directory / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        said = gettext_noop("The artifact %(directory)s cannot be used: its manifest cannot be read (%(error)s).")
        raise _broken(directory, said, error=error) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        said = gettext_noop("The artifact %(directory)s cannot be used: its manifest is not of format %(format)s.")
        raise _broken(directory, said, format=FORMAT)
    return manifest


def verify_artifact(directory: Path) -> dict[str, Any]:
    """The manifest, after comparing the weights with the hash in it; raises ModelError("broken_artifact")."""
    manifest = read_manifest(directory)
    if weights_sha256(directory) != manifest.get("weights_sha256"):
        said = gettext_noop(
            "The artifact %(directory)s cannot be used: its weights are not the ones its manifest was written for."
        )
        raise _broken(directory, said)
    return manifest


def weight_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.safetensors"))


def weights_sha256(directory: Path) -> str:
    """One hash over names and contents of all safetensors files."""
    whole = hashlib.sha256()
    for path in weight_files(directory):
        whole.update(path.name.encode() + b"\0")
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def package_versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in PACKAGES}


def _manifest(job: Job) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "recipe": job.recipe,
        "seed": job.seed,
        "model": job.model.as_dict(),
        "snapshot_hash": job.data.snapshot_hash if job.data else None,
        "lineage": job.lineage,
        "packages": package_versions(),
        "fallbacks": fallbacks(job.config, job.model.adapters),
    }


def _broken(directory: Path, message: str, **values: object) -> ModelError:
    hint = gettext_noop("Run its training again, or choose another model.")
    return ModelError("broken_artifact", message, hint, directory=directory, **values)
