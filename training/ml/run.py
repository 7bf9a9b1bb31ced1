"""The door of this room: `python -m training.ml.run JOB_DIR` does that job; the exit code says what came of it."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import traceback
import warnings
from pathlib import Path

from safetensors import SafetensorError

from training.ml import cancel, launched, parent
from training.ml.errors import ModelError, forget, is_disk_full, is_forbidden, is_out_of_memory, tell
from training.ml.job import Job, read_job
from training.ml.progress import Progress
from training.ml.tracking import tracked
from training.recipes.errors import RecipeError
from training.recipes.failures import DISK_FULL, DISK_IS_FULL, MAKE_ROOM
from training.recipes.words import gettext_noop

DONE, DEFECT, FAILED, CANCELLED = 0, 1, 2, 4
PEER_LOST = 6  # of one of several processes; the launcher looks for the one that failed first
NICENESS = 10

# How cuBLAS and flash attention are asked to add up in the same order every time (repeatable.py).
IN_ONE_ORDER = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "FLASH_ATTENTION_DETERMINISTIC": "1"}

# By name, because each costs seconds of imports that the others' jobs need not pay.
MODULES = {
    "sample": "training.ml.sampling",
    "sft": "training.ml.sft",
    "reward": "training.ml.reward",
    "dpo": "training.ml.dpo",
    "kto": "training.ml.kto",
    "orpo": "training.ml.orpo",
    "simpo": "training.ml.simpo",
    "ppo": "training.ml.ppo",
    "rloo": "training.ml.rloo",
    "grpo": "training.ml.grpo",
    "merge": "training.ml.merge",
    "export": "training.ml.export",
    "playground": "training.ml.playground",
}


def main(arguments: list[str]) -> int:
    """The exit code: 0 done, 2 failed for a reason told in error.json, 4 cancelled; a defect is raised. One of several
    processes ends with 6 when it can go no further because another one is gone."""
    cancel.install()
    parent.watch()
    if len(arguments) != 1:
        print("usage: python -m training.ml.run JOB_DIR", file=sys.stderr)
        return FAILED
    directory = Path(arguments[0]).resolve()
    if launched.processes() == 1:  # of several, one may have written its own before another comes here
        forget(directory)
    try:
        job = read_job(directory)
        with tracked(job):
            perform(job)
    except launched.NotNeeded:
        return DONE
    except cancel.Cancelled:
        return CANCELLED
    except (launched.PeerLost, ModelError, RecipeError, MemoryError, RuntimeError, OSError, SafetensorError) as error:
        if launched.is_loss(error):
            print(f"Another process of this run is gone: {_first_line(error)}", file=sys.stderr)
            return CANCELLED if cancel.requested() else PEER_LOST
        told = explain(error, directory)
        if told is None:
            raise
        tell(directory, told)
        return FAILED
    return DONE


def perform(job: Job) -> None:
    """A job whose artifact is there is done, but for the measuring of it."""
    if not (job.directory / "artifact").exists():
        make(job)
    if job.latency and launched.is_first():
        importlib.import_module("training.ml.latency").add(job)


def make(job: Job) -> None:
    """Hand the job to its recipe's module."""
    if job.recipe not in MODULES:
        raise ModelError(
            "bad_config",
            gettext_noop("The recipe %(recipe)s cannot be run."),
            gettext_noop("Choose one of %(names)s."),
            recipe=repr(job.recipe),
            names=", ".join(MODULES),
        )
    gc.disable()  # of all that is imported nothing is garbage, and looking for it takes a fifth of the time
    try:
        if parallel := getattr(job.config, "parallel", None):
            launched.require_installed(parallel)
            importlib.import_module("training.ml.together").begin()
        recipe = importlib.import_module(MODULES[job.recipe])
    finally:
        gc.enable()
    if told := importlib.import_module("training.ml.fallbacks").fallbacks(job.config, job.model.adapters):
        Progress(job.directory).status("loading", fallbacks=told)
    try:
        recipe.run(job)
        return
    except launched.TrainedInParts:
        pass  # and with the exception goes what still holds the parts
    gc.collect()
    recipe.run(job)


def explain(error: Exception, directory: Path) -> ModelError | None:
    """The error in words for people, or None if it is a defect of ours."""
    if isinstance(error, ModelError):
        return error
    if isinstance(error, RecipeError):
        hint = gettext_noop("Change this setting and start a new run.")
        return ModelError("bad_config", f"{error.field}: {error.template}".lstrip(": "), hint, **error.values)
    if is_out_of_memory(error):
        return ModelError(
            "out_of_memory",
            gettext_noop("The memory did not suffice: %(error)s"),
            gettext_noop(
                "Lower the batch size or the longest response, choose a smaller model, or use a machine with more "
                "memory."
            ),
            error=_first_line(error),
        )
    if is_disk_full(error):
        return ModelError(DISK_FULL, DISK_IS_FULL, MAKE_ROOM, directory=directory)
    if is_forbidden(error):
        return ModelError(
            "no_access",
            gettext_noop("%(path)s cannot be written or read: %(error)s."),
            gettext_noop(
                "A run writes into its own folder and into the model cache. Give this account the right to, mount them "
                "so that they can be written, or copy the folder with its job.json elsewhere; then resume the run."
            ),
            path=getattr(error, "filename", None) or directory,
            error=getattr(error, "strerror", None) or _first_line(error),
        )
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def leave(arguments: list[str]) -> None:
    """Do the job and end the process with its code.

    One of several processes ends without the interpreter's own finish: threads of gloo may still hold tensors then, and
    one that lets go of them in an interpreter that is half gone aborts the process, which had done its work
    (github.com/pytorch/pytorch/pull/179291).
    """
    # The web process and the annotators come first. Not added to what it was started with: beside others that were
    # started so it would starve.
    os.nice(max(0, NICENESS - os.nice(0)))
    # At low priority torch's threads wait for one another often, and spin meanwhile: on a busy machine decoding was
    # several times slower so. The cost on an idle one has not been measured. Read when torch is loaded, which is later.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TQDM_DISABLE", "1")
    for name, value in IN_ONE_ORDER.items():
        os.environ.setdefault(name, value)
    if not sys.warnoptions:  # what the libraries' next versions will change is no word to who reads a run's log
        warnings.simplefilter("ignore", FutureWarning)
    if launched.processes() == 1:
        code = main(arguments)
        gc.freeze()  # or the interpreter's last look for garbage takes a second, through all that was imported
        sys.exit(code)
    try:
        code = main(arguments)
    except Exception:
        traceback.print_exc()
        code = DEFECT
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(sys.argv[1:])
