"""What the commands of the right wing share: names to rows, --set to settings, --wait, and errors as one clear line."""

import json
import math
import time
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from annotate.management.telling import Refused, refused
from annotate.models import DemonstrationSet, FeedbackSet, Project, Snapshot
from annotate.workflow.exceptions import WorkflowError
from training.models import LARGEST_SEED, DeviceWish, Priority, Run, RunState
from training.tasks import dispatch_queued
from training.workflow import runner, runs
from training.workflow.run_result import result_with_figures
from training.workflow.runs import hint_of, reason_of


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """For `type=` of an option."""

    def read(text: str) -> int:
        try:
            found = int(text)
        except ValueError:
            found = None
        if found is None or not least <= found <= most:
            said = _("This must be a whole number from %(least)s to %(most)s, not %(text)s.")
            raise ArgumentTypeError(said % {"least": least, "most": most, "text": text[:40]})
        return found

    return read


def positive(most: float, *, zero: bool = False) -> Callable[[str], float]:
    """For `type=` of an option: a number above 0, or 0 itself, up to `most`."""

    def read(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = math.nan
        if not (0 < found <= most or (zero and found == 0)):
            said = _("This must be a number above 0 and up to %(most)s, not %(text)s.")
            raise ArgumentTypeError(said % {"most": f"{most:g}", "text": text[:40]})
        return found

    return read


def add_common_arguments(parser: CommandParser, seed: int | None = 0) -> None:
    parser.add_argument("project", help="Short name of the project.")
    parser.add_argument("--model", default="", help="Name of the model to begin with (default: the newest policy).")
    parser.add_argument(
        "--seed", type=whole_number(0, LARGEST_SEED), default=seed, help="Seed of all random numbers (default: 0)."
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="A setting; repeatable.")
    parser.add_argument("--wait", action="store_true", help="Carry it out here instead of leaving it to the worker.")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")


def add_model_arguments(parser: CommandParser, acts: bool = True) -> None:
    """Of a command about one model; one that acts writes down for whom."""
    parser.add_argument("project", help="Short name of the project.")
    parser.add_argument("--model", required=True, help="Name of the model.")
    if acts:
        parser.add_argument("--by", default="", help="Account that is written down.")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")


def add_run_arguments(parser: CommandParser) -> None:
    """Of a command that acts on one run, and writes down for whom."""
    parser.add_argument("project", help="Short name of the project.")
    parser.add_argument("run", type=whole_number(1, 2**63 - 1), help="Number of the run.")
    parser.add_argument("--by", default="", help="Account that is written down.")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")


def add_queue_arguments(parser: CommandParser) -> None:
    names = [name.lower() for name in Priority.names]
    parser.add_argument("--priority", choices=names, default=None, help="Whose turn it is (default: normal).")
    parser.add_argument("--device", choices=DeviceWish.values, default=None, help="What it waits for (default: any).")


def waits_as(given: dict[str, Any]) -> dict[str, Any]:
    """What was said of --priority and --device."""
    said = {"priority": Priority[given["priority"].upper()] if given["priority"] else None, "device": given["device"]}
    return {name: value for name, value in said.items() if value is not None}


def run_numbered(project: Project, number: int) -> Run:
    found = project.runs.filter(pk=number).first()
    if found:
        return found
    raise CommandError(_("The project “%(slug)s” has no run %(number)s.") % {"slug": project.slug, "number": number})


@contextmanager
def clear_errors() -> Iterator[None]:
    """A known error becomes one line with its hint."""
    try:
        yield
    except WorkflowError as error:
        raise refused(error) from error


def snapshot_numbered(project: Project, number: int | None) -> Snapshot:
    """The newest without a number."""
    named = number is not None
    found = project.snapshots.filter(number=number).first() if named else project.snapshots.first()
    if found:
        return found
    what = _("There is no snapshot %(number)s.") % {"number": number} if named else _("There is no snapshot yet.")
    raise CommandError(what + " " + _("Make one with: manage.py snapshot %(slug)s") % {"slug": project.slug})


def demonstrations_named(project: Project, name: str = "") -> DemonstrationSet:
    """The newest without a name."""
    sets = project.demonstration_sets.all()
    found = sets.filter(name=name).first() if name else sets.first()
    if found:
        return found
    if name:
        known = ", ".join(f"“{one}”" for one in sets[:10]) or _("none")
        what = _("There are no demonstrations called “%(name)s”. There are: %(known)s.") % {
            "name": name,
            "known": known,
        }
    else:
        what = _("There are no demonstrations yet.")
    advice = _("Upload some with: manage.py import_demonstrations %(slug)s FILE") % {"slug": project.slug}
    raise CommandError(f"{what} {advice}")


def feedback_named(project: Project, name: str) -> FeedbackSet:
    sets = project.feedback_sets.all()
    found = sets.filter(name=name).first()
    if found:
        return found
    known = ", ".join(f"“{one}”" for one in sets[:10]) or _("none")
    what = _("There is no feedback called “%(name)s”. There are: %(known)s.") % {"name": name, "known": known}
    raise CommandError(
        f"{what} " + _("Upload some with: manage.py import_feedback %(slug)s FILE") % {"slug": project.slug}
    )


def settings_of(pairs: list[str]) -> dict[str, Any]:
    """["epochs=2"] -> {"epochs": 2}; ["reward.epochs=2"] -> {"reward": {"epochs": 2}}. Values are JSON or text."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not name or not equals:
            raise CommandError(_("--set %(pair)s: write it as name=value.") % {"pair": pair})
        head, _dot, tail = name.partition(".")
        if tail:
            inner = settings.setdefault(head, {})
            if not isinstance(inner, dict):
                raise CommandError(_("--set %(pair)s: %(head)s has a value already.") % {"pair": pair, "head": head})
            inner[tail] = _value(text)
        else:
            settings[head] = _value(text)
    return settings


def carry_out(run: Run) -> Run:
    """To its end: here, or by a worker that took it first. Raises CommandError with the reason if it fails."""
    run.refresh_from_db()
    while not run.is_over:
        if run.state != RunState.QUEUED or not runner.execute(run.pk):
            time.sleep(runner.POLL_SECONDS)
            runs.reconcile()  # the worker that took it may be gone, and no other one there to see that
        run.refresh_from_db()
    if run.state != RunState.SUCCEEDED:
        raise not_done(run)
    return run


def not_done(run: Run) -> Refused:
    """A run that failed or was cancelled; for programs with its number, and with the code of its failure."""
    said = f"{run.name}: {run.get_state_display()}. {reason_of(run)}".strip()
    code = run.failure.get("code") or ("RunFailed" if run.state == RunState.FAILED else "RunCancelled")
    body = {"code": code, "detail": said, "hint": hint_of(run), "run": run.pk, "state": run.state}
    return Refused(f"{said} {hint_of(run)}".strip(), body)


def carry_out_or_send(run: Run, wait: bool) -> Run:
    if wait:
        return carry_out(run)
    dispatch_queued()
    return run


def report(command: BaseCommand, as_json: bool, facts: dict[str, Any], text: str) -> None:
    command.stdout.write(json.dumps(facts, ensure_ascii=False) if as_json else text)


def facts_of(run: Run) -> dict[str, Any]:
    """What a program wants to know about a run."""
    artifact = getattr(run, "artifact", None)
    facts = {"run": run.pk, "name": run.name, "recipe": run.recipe, "state": run.state}
    facts["result"] = result_with_figures(run)
    if artifact is None:
        return facts
    return {**facts, "artifact": artifact.name, "location": artifact.location}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
