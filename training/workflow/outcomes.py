"""What the end of a training process means: exit code, error.json and log turned into a state and words for people."""

import json
import signal
from dataclasses import dataclass
from pathlib import Path

from django.utils.translation import gettext as _

from training.models import RunState
from training.workflow import tails
from training.workflow.storable import storable

DONE, KNOWN_FAILURE, STOPPED = 0, 2, 4


@dataclass(frozen=True)
class Outcome:
    """`state` QUEUED means: nobody wants its end, let it go on from its checkpoint."""

    state: RunState
    reason: str = ""
    hint: str = ""


def has_product(folder: Path, recipe: str) -> bool:
    """The process has done its work; its result appears by a rename, so it is whole if it is there."""
    return (folder / ("result.json" if recipe == "sample" else "artifact/manifest.json")).is_file()


def outcome_of(folder: Path, recipe: str, code: int, asked: RunState | None = None) -> Outcome:
    """`code` as subprocess gives it: negative is a signal. `asked` is the state wanted by whoever asked it to stop."""
    if code == DONE and has_product(folder, recipe):
        return Outcome(RunState.SUCCEEDED)
    if code == KNOWN_FAILURE:
        return _known_failure(folder)
    if asked and (code == STOPPED or code < 0):
        return Outcome(asked)
    if code == STOPPED:
        return Outcome(RunState.QUEUED, _("Its process was stopped from outside; it goes on from its checkpoint."))
    return _killed(-code) if code < 0 else _crashed(folder, code)


def _known_failure(folder: Path) -> Outcome:
    try:
        error = storable(json.loads((folder / "error.json").read_text(encoding="utf-8")))
        return Outcome(RunState.FAILED, str(error["message"]), str(error.get("hint", "")))
    except (OSError, ValueError, KeyError, TypeError):
        return _crashed(folder, KNOWN_FAILURE)


def _killed(number: int) -> Outcome:
    names = {int(known): known.name for known in signal.Signals}
    reason = _("The training process was killed by signal %(number)s (%(name)s).") % {
        "number": number,
        "name": names.get(number, "?"),
    }
    if number == signal.SIGKILL:
        reason += " " + _("Out of memory? The system kills the largest process then.")
        hint = _("Free memory and resume it, or start a new run with a smaller batch size or maximum length.")
        return Outcome(RunState.FAILED, reason, hint)
    return Outcome(RunState.FAILED, reason, _("Resume it: it goes on from its last checkpoint."))


def _crashed(folder: Path, code: int) -> Outcome:
    lines = [line for line in tails.text_tail(folder / "run.log").splitlines() if line.strip()]
    reason = _("The training process ended with exit code %(code)s and without a result.") % {"code": code}
    if lines and not lines[-1].startswith("---"):
        reason += " " + _("Its last line: %(line)s") % {"line": lines[-1].strip()[:500]}
    return Outcome(RunState.FAILED, reason, _("The log below says more. Resume it once the cause is mended."))
