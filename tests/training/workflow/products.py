"""Finished runs with a product on disk, without a training process: an adapter as PEFT writes it, or a whole model."""

import json
from pathlib import Path
from typing import Any

import numpy
from safetensors.numpy import save_file

from annotate.models import Project
from training.models import Artifact, Run, RunState
from training.workflow import artifacts, runs
from training.workflow.folders import artifact_folder, folder_of
from training.workflow.manifests import verified_manifest, weights_sha256


def finished(project: Project, model: Artifact, recipe: str = "dpo", *, config: Any = None, **more: Any) -> Artifact:
    """What the supervisor takes in of a run that went well; `more`: fields of the manifest."""
    fields = {name: more.pop(name) for name in ("snapshot", "reward_model", "demonstrations") if name in more}
    run = runs.create_run(
        project, recipe, config or {}, more.pop("name", f"trained by {recipe}"), model=model, **fields
    )
    end(run)
    write_product(artifact_folder(run), recipe, {**run.config}, **more)
    return artifacts.import_product(run, verified_manifest(artifact_folder(run)))


def end(run: Run, state: RunState = RunState.SUCCEEDED) -> Run:
    assert runs.claim(run, f"host:{run.pk}", "host:1")
    assert runs.finish(run, state)
    return run


def write_product(folder: Path, recipe: str, config: dict[str, Any], **more: Any) -> None:
    folder.mkdir(parents=True)
    save_file({"w": numpy.ones(3, dtype=numpy.float32)}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text("{}")
    manifest = {
        "format": 1,
        "recipe": recipe,
        "kind": "full" if recipe == "merge" else "adapter",
        "task": "reward" if recipe == "reward" else "policy",
        "config": config,
        "seed": 7,
        "weights_sha256": weights_sha256(folder),
        "packages": {"torch": "2.13.0"},
        "data": {"train": 24, "test": 6, "dropped": []},
        "metrics": {},
        "device": "cpu",
        "precision": "fp32",
        **more,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def checkpoint_of(run: Run, size: int = 1000) -> Path:
    path = folder_of(run) / "checkpoint"
    path.mkdir(parents=True)
    (path / "optimizer.pt").write_bytes(bytes(size))
    return path


def exported(run: Run, folder: Path) -> None:
    """The directory that an export has written, and what it says of it."""
    folder.mkdir(parents=True)
    note = {"run": run.pk, "created": run.created_at.isoformat()}
    (folder / "export.json").write_text(json.dumps(note))
    (folder / "model.safetensors").write_bytes(b"x" * 50)
    folder_of(run).mkdir(parents=True, exist_ok=True)
    result = {"folder": str(folder), "bytes": 50, "weights_sha256": "abc"}
    (folder_of(run) / "result.json").write_text(json.dumps(result))
