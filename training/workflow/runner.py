"""The supervisor of a run: claims it, starts the training process, follows it, and says how it ended."""

import logging
import math
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from django.conf import settings
from django.db import connection, transaction
from django.utils.translation import gettext_noop

from annotate.workflow.exceptions import DATABASE_AWAY
from training.models import Run, RunState
from training.recipes import WITHOUT_ARTIFACT, can_be_shared
from training.workflow import (
    artifacts,
    children,
    exporting,
    jobs,
    manifests,
    outcomes,
    playground,
    queueing,
    rounds,
    runs,
    sampling,
    tails,
    workers,
)
from training.workflow.exceptions import WorkflowError
from training.workflow.folders import artifact_folder, folder_of, log_of, progress_of
from training.workflow.told import told

POLL_SECONDS = 0.5
BEAT_SECONDS = 5.0
AWAY_SECONDS = 30.0  # between two lines of the log that say so
TOLD = ("status", "step")  # lines that say how far it is; others are results
TOO_LATE = gettext_noop(
    "It had done its work before it could stop: its result is kept, and the stages behind it are cancelled."
)
SPOILT = gettext_noop("Lines of %(file)s that could not be read, and were left out: %(number)s.")

T = TypeVar("T")
logger = logging.getLogger(__name__)
# Set when this worker is told to stop: its runs save a checkpoint and go back to the queue.
stopping = threading.Event()


def execute_next() -> str:
    """Carries out the run whose turn it is on a free device of this host; "" if there was none to take."""
    run = None if stopping.is_set() else queueing.take_next(workers.worker_name())
    return supervise(run) if run else ""


def execute(run_id: int) -> str:
    """Carries out this queued run, whoever else waits; the state it came to, "" if it was not there to take."""
    run = Run.objects.filter(pk=run_id).first()
    if run is None or stopping.is_set() or not queueing.take(run, workers.worker_name()):
        return ""
    return supervise(run)


def supervise(run: Run) -> str:
    """A claimed run to its end; the state it came to, "" if it was taken away."""
    with _Supervision(run) as supervision:
        supervision.carry_out()
    return supervision.state


class _Supervision:
    """A claimed run. However this ends, neither the process nor the device stays behind."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.folder: Path = folder_of(run)
        self.child: subprocess.Popen[bytes] | None = None
        self.asked: RunState | None = None
        self.asked_at = 0.0
        self.beaten_at = time.monotonic()
        self.away_told_at = -math.inf
        self.progress: dict[str, Any] = {}
        self.progress_tail = tails.Tail(progress_of(run))
        self.samples_tail = tails.Tail(sampling.samples_of(run))
        self.state = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """A known cause ends the run and goes no further; a defect ends it and is raised; a Ctrl-C gives it back."""
        if kind is None or error is None:
            return False
        if self.child is not None:
            children.stop(self.child)
        if not isinstance(error, Exception):
            detail = gettext_noop("Its worker was stopped; it goes on from its checkpoint.")
            self.state = runs.release(self.run, detail) or ""
            return False
        hint = error.hint if isinstance(error, WorkflowError) else gettext_noop("Mend the cause and resume it.")
        reason = str(error) if isinstance(error, WorkflowError) else f"{kind.__name__}: {error}"
        self._finish(outcomes.Outcome(RunState.FAILED, reason, hint))
        return isinstance(error, WorkflowError | OSError)

    def carry_out(self) -> None:
        """An earlier attempt may have been killed after its work was done and before it was taken in."""
        self._patiently(lambda: jobs.prepare(self.run))
        outcome = outcomes.Outcome(RunState.SUCCEEDED)
        if not outcomes.is_complete(self.run):
            was_whole = outcomes.has_product(self.folder, self.run.recipe)
            device, shared = workers.device_for(self.run), can_be_shared(self.run.recipe)
            self.child = self._patiently(lambda: children.start(self.folder, device, self.run.attempt, shared))
            code = self._follow(self.child)
            if code is None:
                return
            outcome = outcomes.outcome_of(self.folder, self.run.recipe, code, self.asked)
            if was_whole and outcome.state == RunState.FAILED:  # it is the second time that only the timing fails
                outcome = outcomes.Outcome(RunState.SUCCEEDED)
        self._patiently(self._look_at_files)
        self._patiently(self._tell_of_spoilt_lines)
        if self.run.recipe == "sample":
            self._patiently(lambda: sampling.summarize(self.run))
        if outcome.state == RunState.SUCCEEDED:
            if self.run.recipe == "export":
                self._patiently(lambda: exporting.take_in(self.run))
            if self.run.recipe == "playground":
                self._patiently(lambda: playground.take_in(self.run))
            self._patiently(self._succeed)
        elif outcome.state == RunState.QUEUED:
            detail = outcome.reason or gettext_noop("Its worker was stopped; it goes on from its checkpoint.")
            self.state = self._patiently(lambda: runs.release(self.run, detail)) or ""
        else:
            self._patiently(lambda: self._finish(outcome))

    def _follow(self, child: subprocess.Popen[bytes]) -> int | None:
        """The exit code; None if the run was given to another supervisor, and the process ended for that."""
        while (code := child.poll()) is None:
            if not self._look():
                logger.warning("Run %s is no longer this worker's; its process is ended.", self.run.pk)
                # Before another supervisor may start a second one in the same folder.
                children.stop(child, grace=self._left())
                return None
            if self.asked and time.monotonic() - self.asked_at > children.GRACE_SECONDS:
                children.kill(child)
            time.sleep(POLL_SECONDS)
        return code

    def _look(self) -> bool:
        """One look at files, heartbeat and wishes. False if the run is no longer ours."""
        if stopping.is_set():
            self._ask(RunState.QUEUED)
        try:
            state = self._beat()
            if state is None:
                return False
            self._look_at_files()
        except DATABASE_AWAY as error:
            return self._sits_out(error)
        except OSError as error:  # a shared disk that is away for a moment: the process goes on, and so do the looks
            self._say_it_is_away("its files cannot be read", error)
        if state == RunState.CANCELLING:
            self._ask(RunState.CANCELLED)
        return True

    def _beat(self) -> str | None:
        now = time.monotonic()
        if now - self.beaten_at < BEAT_SECONDS and self.progress:
            state = runs.state_of(self.run)
        else:
            state = runs.beat(self.run, self.progress)
            self.beaten_at = now
        if state is None:  # somebody else has it: no time is left
            self.beaten_at = now - settings.HEARTBEAT_TIMEOUT
        return state

    def _while_beating(self, work: Callable[[], T]) -> T:
        """What takes minutes without asking the database: the hash of a large model's weights."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            done = pool.submit(work)
            while not wait([done], timeout=POLL_SECONDS).done:
                try:
                    self._beat()
                except DATABASE_AWAY as error:  # raised, it would wait for the work without another beat
                    self._sits_out(error)
        return done.result()

    def _look_at_files(self) -> None:
        lines = [line for line in self.progress_tail.lines() if line.get("kind") in TOLD]
        if lines:
            self.progress = lines[-1]
        if self.run.recipe == "sample":
            sampling.ingest_samples(self.run, self.samples_tail, lambda: self._beat() is not None)

    def _tell_of_spoilt_lines(self) -> None:
        """Once an attempt, when its files grow no more."""
        self.run.refresh_from_db(fields=["state"])
        for tail in (self.progress_tail, self.samples_tail):
            if tail.spoilt:
                runs.note(self.run, told(SPOILT, file=tail.path.name, number=tail.spoilt))

    def _ask(self, wanted: RunState) -> None:
        if self.asked is None and self.child is not None:
            self.asked, self.asked_at = wanted, time.monotonic()
            children.ask_to_stop(self.child)

    def _succeed(self) -> None:
        """The model is listed, the run is done and the next stage is queued, unless it was to stop by now."""
        if self.run.recipe not in WITHOUT_ARTIFACT:
            folder = artifact_folder(self.run)
            manifest = self._while_beating(lambda: manifests.verified_manifest(folder))
            artifacts.import_product(self.run, manifest)
        with transaction.atomic():
            round = self.run.round
            if round is not None and runs.state_of(self.run, locked=True) == RunState.CANCELLING:
                self._finish(outcomes.Outcome(RunState.SUCCEEDED), TOO_LATE)
                rounds.stop(round)
                return
            self._finish(outcomes.Outcome(RunState.SUCCEEDED))
            if round is not None:
                rounds.advance(round)

    def _finish(self, outcome: outcomes.Outcome, detail: str = "") -> None:
        runs.beat(self.run, self.progress)
        tail = tails.text_tail(log_of(self.run))
        said = {"reason": outcome.reason, "hint": outcome.hint, "failure": outcome.failure}
        ended = runs.finish(self.run, outcome.state, **said, log_tail=tail, detail=detail)
        self.state = outcome.state if ended else ""

    def _patiently(self, verb: Callable[[], Any]) -> Any:
        """The work of hours is not thrown away because the database restarts just then."""
        while True:
            try:
                return verb()
            except DATABASE_AWAY as error:
                if not self._sits_out(error):
                    raise
                time.sleep(POLL_SECONDS)

    def _sits_out(self, error: Exception) -> bool:
        """True while there is time to end the process before anybody else can take the run over."""
        self._say_it_is_away("the database is away", error)
        connection.close()
        return self._left() > settings.HEARTBEAT_TIMEOUT / 2

    def _say_it_is_away(self, what: str, error: Exception) -> None:
        if time.monotonic() - self.away_told_at > AWAY_SECONDS:
            logger.warning("Run %s: %s (%s).", self.run.pk, what, error)
            self.away_told_at = time.monotonic()

    def _left(self) -> float:
        """Seconds until others may take the run over. Half of them are for its process to save and end."""
        return max(self.beaten_at + settings.HEARTBEAT_TIMEOUT - time.monotonic(), 0.0)
