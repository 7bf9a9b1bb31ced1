"""Reads the manifest of a run's product and checks that the weights beside it are those it was written for."""

import hashlib
import json
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from training.models import Task
from training.recipes.storable import storable
from training.workflow.exceptions import BrokenArtifact

FORMAT = 1
KINDS = ("adapter", "full")


def verified_manifest(folder: Path) -> dict[str, Any]:
    """The manifest; raises BrokenArtifact, and OSError where the disk does not give it just now, which says nothing of
    the product. Reads all weights once, so it takes seconds for a full model."""
    manifest = storable(_read(folder))
    if manifest.get("format") != FORMAT or manifest.get("kind") not in KINDS or manifest.get("task") not in Task.values:
        raise _broken(folder, _("its manifest is not of a known format"))
    if weights_sha256(folder) != manifest.get("weights_sha256"):
        raise _broken(folder, _("its weights are not those its manifest was written for"))
    return manifest


def weights_sha256(folder: Path) -> str:
    """One hash over names and contents of all safetensors files, as the training process writes it."""
    whole = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        whole.update(path.name.encode() + b"\0")
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def _read(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise _broken(folder, _("its manifest cannot be read (%(error)s)") % {"error": error}) from error
    if not isinstance(manifest, dict):
        raise _broken(folder, _("its manifest is not of a known format"))
    return manifest


def _broken(folder: Path, why: str) -> BrokenArtifact:
    return BrokenArtifact(
        _("The result in %(folder)s cannot be used: %(why)s.") % {"folder": folder, "why": why},
        _("Start the run anew."),
    )
