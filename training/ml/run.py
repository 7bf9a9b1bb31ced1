"""The door of this room: `python -m training.ml.run JOB_DIR` does that job; the exit code says what came of it."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

from safetensors import SafetensorError

from training.ml import cancel, parent
from training.ml.errors import ModelError, is_disk_full, is_out_of_memory
from training.ml.job import Job, read_job
from training.recipes.errors import RecipeError

DONE, FAILED, CANCELLED = 0, 2, 4

# By name, because each costs seconds of imports that the others' jobs need not pay.
MODULES = {"sample": "training.ml.sampling", "reward": "training.ml.reward", "dpo": "training.ml.dpo"}


def main(arguments: list[str]) -> int:
    """The exit code: 0 done, 2 failed for a reason told in error.json, 4 cancelled; a defect is raised."""
    cancel.install()
    parent.watch()
    if len(arguments) != 1:
        print("usage: python -m training.ml.run JOB_DIR", file=sys.stderr)
        return FAILED
    # The web process and the annotators come first.
    os.nice(10)
    # At low priority torch's threads wait for one another often, and spin meanwhile: on a busy machine decoding was
    # several times slower so. The cost on an idle one has not been measured. Read when torch is loaded, which is later.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TQDM_DISABLE", "1")
    directory = Path(arguments[0]).resolve()
    (directory / "error.json").unlink(missing_ok=True)
    try:
        perform(read_job(directory))
    except cancel.Cancelled:
        return CANCELLED
    except (ModelError, RecipeError, MemoryError, RuntimeError, OSError, SafetensorError) as error:
        told = explain(error, directory)
        if told is None:
            raise
        _tell(directory, told)
        return FAILED
    return DONE


def perform(job: Job) -> None:
    """Hand the job to its recipe's module; a job whose artifact is there is done."""
    if (job.directory / "artifact").exists():
        return
    if job.recipe not in MODULES:
        raise ModelError(
            "bad_config", f"The recipe {job.recipe!r} cannot be run.", f"Choose one of {', '.join(MODULES)}."
        )
    importlib.import_module(MODULES[job.recipe]).run(job)


def explain(error: Exception, directory: Path) -> ModelError | None:
    """The error in words for people, or None if it is a defect of ours."""
    if isinstance(error, ModelError):
        return error
    if isinstance(error, RecipeError):
        return ModelError("bad_config", str(error), "Change this setting and start a new run.")
    if is_out_of_memory(error):
        return ModelError(
            "out_of_memory",
            f"The memory did not suffice: {_first_line(error)}",
            "Lower the batch size or the longest response, choose a smaller model, or use a machine with more memory.",
        )
    if is_disk_full(error):
        return ModelError(
            "disk_full",
            f"The disk that holds {directory} or the model cache is full.",
            "Make room on it and resume the run.",
        )
    return None


def _tell(directory: Path, error: ModelError) -> None:
    print(f"{error.code}: {error.message} {error.hint}", file=sys.stderr)
    told = {"code": error.code, "message": error.message, "hint": error.hint}
    try:
        (directory / "error.json").write_text(json.dumps(told, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as failure:
        # On a full disk there may be no room even for this; the log and the exit code still tell.
        print(f"error.json could not be written: {failure}", file=sys.stderr)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
