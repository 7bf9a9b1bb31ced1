"""What the end of a training process means: exit code, error.json and log turned into a state and words for people."""

import json
import math
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.utils.translation import gettext_noop

from training.models import Run, RunState
from training.recipes import WITHOUT_ARTIFACT
from training.recipes.failures import DISK_FULL, DISK_IS_FULL, MAKE_ROOM
from training.recipes.storable import storable
from training.workflow import tails
from training.workflow.folders import folder_of

DONE, KNOWN_FAILURE, STOPPED = 0, 2, 4
# What error.json says beside its message and hint, and a translator needs.
TOLD = ("code", "template", "hint_template", "values")


@dataclass(frozen=True)
class Outcome:
    """`state` QUEUED means: nobody wants its end, let it go on from its checkpoint.

    `reason` and `hint` are in English; `failure` has what they are told from: code, template, hint_template, values."""

    state: RunState
    reason: str = ""
    hint: str = ""
    failure: dict[str, Any] = field(default_factory=dict)


def failed(reason: str, hint: str, **values: Any) -> Outcome:
    """`reason` and `hint` are templates, marked with `gettext_noop`."""
    failure = {"template": reason, "hint_template": hint, "values": values}
    return Outcome(RunState.FAILED, reason % values, hint % values, failure)


def has_product(folder: Path, recipe: str) -> bool:
    """The process has done its work; its result appears by a rename, so it is whole if it is there."""
    return (folder / ("result.json" if recipe in WITHOUT_ARTIFACT else "artifact/manifest.json")).is_file()


def is_complete(run: Run) -> bool:
    """Nothing is left to do for a process: a cell of a bench is timed after its product is whole."""
    folder = folder_of(run)
    return has_product(folder, run.recipe) and (run.bench_id is None or _is_timed(folder))


def _is_timed(folder: Path) -> bool:
    try:
        return "latency" in json.loads((folder / "artifact/manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return True  # whoever takes it in says what is wrong with it


def result_of(run: Run) -> dict[str, Any]:
    """What the process of a run without a model says of its work; {} if it has said nothing."""
    path = folder_of(run) / "result.json"
    return storable(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def outcome_of(folder: Path, recipe: str, code: int, asked: RunState | None = None) -> Outcome:
    """`code` as subprocess gives it: negative is a signal. `asked` is the state wanted by whoever asked it to stop."""
    if code == DONE and has_product(folder, recipe):
        return Outcome(RunState.SUCCEEDED)
    if code == KNOWN_FAILURE:
        return _known_failure(folder)
    if asked and (code == STOPPED or code < 0):
        return Outcome(asked)
    if code == STOPPED:
        return Outcome(
            RunState.QUEUED, gettext_noop("Its process was stopped from outside; it goes on from its checkpoint.")
        )
    return _killed(-code) if code < 0 else _crashed(folder, code)


def _known_failure(folder: Path) -> Outcome:
    try:
        error = storable(json.loads((folder / "error.json").read_text(encoding="utf-8")))
        failure = {name: error[name] for name in TOLD if error.get(name)}
        if "values" in failure:
            failure["values"] = {name: _plain(value) for name, value in failure["values"].items()}
        return Outcome(RunState.FAILED, str(error["message"]), str(error.get("hint", "")), failure)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return _crashed(folder, KNOWN_FAILURE)


def _plain(value: Any) -> str | int | float:
    """What a template takes and every database stores: NaN, which Python writes into JSON, is none."""
    return value if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)) else str(value)


def _killed(number: int) -> Outcome:
    names = {int(known): known.name for known in signal.Signals}
    told = {"number": number, "name": names.get(number, "?")}
    if number == signal.SIGKILL:
        return failed(
            gettext_noop(
                "The training process was killed by signal %(number)s (%(name)s). Out of memory? The system kills the "
                "largest process then."
            ),
            gettext_noop("Free memory and resume it, or start a new run with a smaller batch size or maximum length."),
            **told,
        )
    return failed(
        gettext_noop("The training process was killed by signal %(number)s (%(name)s)."),
        gettext_noop("Resume it: it goes on from its last checkpoint."),
        **told,
    )


def _disk_full(folder: Path) -> Outcome:
    """Told by the log alone: there was no room for error.json either."""
    full = failed(DISK_IS_FULL, MAKE_ROOM, directory=str(folder))
    full.failure["code"] = DISK_FULL
    return full


def _crashed(folder: Path, code: int) -> Outcome:
    lines = [line for line in tails.text_tail(folder / "run.log").splitlines() if line.strip()]
    if code == KNOWN_FAILURE and (lines[-1:] or [""])[0].startswith(f"{DISK_FULL}: "):
        return _disk_full(folder)
    hint = gettext_noop("The log below says more. Resume it once the cause is mended.")
    if lines and not lines[-1].startswith("---"):
        reason = gettext_noop(
            "The training process ended with exit code %(code)s and without a result. Its last line: %(line)s"
        )
        return failed(reason, hint, code=code, line=lines[-1].strip()[:500])
    reason = gettext_noop("The training process ended with exit code %(code)s and without a result.")
    return failed(reason, hint, code=code)
