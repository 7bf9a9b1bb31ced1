"""Starts a job in several processes through `accelerate launch`, and ends with the exit code that one would have had.

`python -m training.ml.launch JOB_DIR PROCESSES`. The launcher's own exit code says only that some process has failed.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path

from training.ml import cores, launched, parent
from training.ml.errors import ModelError, forget, tell
from training.ml.job import read_job
from training.ml.run import CANCELLED, DONE, FAILED, PEER_LOST, explain
from training.recipes import can_be_shared
from training.recipes.errors import RecipeError

SETTINGS = Path(__file__).parent / "parallel"
# After SIGTERM the processes finish their step and save. Whoever sent it decides when it has been long enough.
PATIENCE_SECONDS = "86400"


def main(arguments: list[str]) -> int:
    """The exit codes of training.ml.run; negative for the signal that ended one of the processes."""
    if len(arguments) != 2 or not arguments[1].isdigit():
        print("usage: python -m training.ml.launch JOB_DIR PROCESSES", file=sys.stderr)
        return FAILED
    directory, count = Path(arguments[0]).resolve(), int(arguments[1])
    forget(directory)
    try:
        job = read_job(directory)
        if not can_be_shared(job.recipe):
            launched.require_one_process(count)
        # What one process can compute alone needs none of the ways of sharing.
        parallel = getattr(job.config, "parallel", "ddp")
        launched.require_installed(parallel)
    except (ModelError, RecipeError) as error:
        tell(directory, explain(error, directory))
        return FAILED
    parent.watch()
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", PATIENCE_SECONDS)
    return start(directory, parallel, count)


def command(directory: Path, parallel: str, count: int) -> list[str]:
    """What `accelerate launch` is given; by hand the same line starts the same processes."""
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, cores.number() // count))
    settings = ["--config_file", str(SETTINGS / f"{parallel}.yaml"), "--num_processes", str(count)]
    return [*settings, "--num_cpu_threads_per_process", threads, "-m", "training.ml.run", str(directory)]


def start(directory: Path, parallel: str, count: int) -> int:
    """Start the processes and follow them to their end."""
    accelerate = importlib.import_module("accelerate.commands.launch")
    elastic = importlib.import_module("torch.distributed.elastic.multiprocessing")
    try:
        accelerate.launch_command(accelerate.launch_command_parser().parse_args(command(directory, parallel, count)))
    except elastic.SignalException:
        return stopped(directory)
    except elastic.errors.ChildFailedError as error:
        return first_of([failure.exitcode for failure in error.failures.values()])
    return DONE


def first_of(codes: list[int]) -> int:
    """Of the processes that have failed, in the order in which it was noticed, the code of the one that began it: the
    others have lost it, or were stopped for it."""
    return next((code for code in codes if code != PEER_LOST), PEER_LOST)


def stopped(directory: Path) -> int:
    """After SIGTERM: the processes are gone, and their codes with them, but not what they have left."""
    if (directory / "artifact").exists():
        return DONE
    return FAILED if (directory / "error.json").exists() else CANCELLED


def leave(code: int) -> None:
    """End with `code`; where it is a signal, of that signal, so that whoever waits sees it."""
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
