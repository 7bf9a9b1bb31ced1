"""Recipe "merge": a full model out of an adapter and what it stands on; what it computes stays the same."""

from __future__ import annotations

import time
from pathlib import Path

from training.ml.adapters import parameter_counts, save_weights
from training.ml.artifact import read_manifest, write_artifact
from training.ml.job import Job
from training.ml.plain import plain_model
from training.ml.progress import Progress


def run(job: Job) -> None:
    """Load, merge, write the artifact. Raises ModelError for every known failure."""
    progress, began = Progress(job.directory), time.monotonic()
    progress.status("loading")
    source = {"cache": job.cache, "on_convert": lambda: progress.status("converting")}
    model, tokenizer, task = plain_model(job.model, source)
    progress.status("saving")
    facts = {
        "kind": "full",
        "task": task,
        "config": {},
        "parameters": {**parameter_counts(model), "trainable": 0},
        "metrics": {},
        "data": {},
        "merged": [merged_from(Path(adapter)) for adapter in job.model.adapters],
        "seconds": time.monotonic() - began,
        "device": "cpu",
        "precision": "fp32",
    }
    write_artifact(job, lambda directory: save_weights(model, tokenizer, directory), facts)


def merged_from(adapter: Path) -> dict[str, str]:
    """What went into the weights, in words that outlive its folder."""
    manifest = read_manifest(adapter)
    return {"recipe": str(manifest.get("recipe")), "weights_sha256": str(manifest.get("weights_sha256"))}
