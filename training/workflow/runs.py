"""The states of a run: every change is one conditional UPDATE and one event, so that two can never both succeed."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Now
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from annotate.models import Batch, DemonstrationSet, FeedbackSet, Project, Prompt, Snapshot, User
from training.models import ACTIVE, NOT_BEGUN, Artifact, Bench, DeviceWish, Priority, Round, Run, RunEvent, RunState
from training.workflow import workers
from training.workflow.exceptions import ModelRefused, NotCancellable, RunNotResumable
from training.workflow.refusals import checked_config
from training.workflow.told import Told, in_readers_language, told

# A supervisor beats every five seconds; three missed beats and a dead process on this host are no accident.
MISSED_BEATS = timedelta(seconds=15)


class Facts(TypedDict, total=False):
    """What a run may be given beside its recipe: fields of `Run`, which has a default for each."""

    seed: int
    snapshot: Snapshot | None
    model: Artifact | None
    reference_model: Artifact | None
    reward_model: Artifact | None
    demonstrations: DemonstrationSet | None
    feedback: FeedbackSet | None
    batch: Batch | None
    round: Round | None
    stage: int
    bench: Bench | None
    priority: Priority
    device: DeviceWish


@transaction.atomic
def create_run(
    project: Project,
    recipe: str,
    config: dict[str, Any],
    name: str,
    *,
    prompts: Iterable[Prompt] = (),
    state: RunState = RunState.QUEUED,
    actor: User | None = None,
    **facts: Unpack[Facts],
) -> Run:
    """A new run, queued or (a later stage of a round) waiting. Raises ModelRefused if one of its models was deleted."""
    run = Run(project=project, recipe=recipe, config=checked_config(recipe, config), name=name, state=state, **facts)
    if model := _deleted_model(run):
        raise ModelRefused(_("“%(name)s” has been deleted.") % {"name": model}, _("Choose another model."))
    run.prompt_ids, run.created_by = [prompt.pk for prompt in prompts], actor
    run.save(force_insert=True)
    _record(run, state, "", actor)
    return run


def queue(run: Run, detail: Told | str = "", actor: User | None = None) -> bool:
    """A waiting run may be claimed from now on; False if it was not waiting."""
    return _move(run, (RunState.WAITING,), RunState.QUEUED, detail=detail, actor=actor)


@transaction.atomic
def change_waiting(run: Run, detail: Told, actor: User | None = None, **changed: Any) -> bool:
    """Changes how a run waits, not its state; False, and nothing happened, if it does not wait any more."""
    done = Run.objects.filter(pk=run.pk, state__in=NOT_BEGUN).update(**changed)
    run.refresh_from_db()
    if done:
        _record(run, RunState(run.state), detail, actor)
    return bool(done)


def claim(run: Run, slot: str, worker: str) -> bool:
    """Takes a queued run onto a device. False if another was faster, or if the device is busy: `slot` is UNIQUE."""
    now = Now()
    try:
        return _move(
            run,
            (RunState.QUEUED,),
            RunState.RUNNING,
            detail=told(gettext_noop("Taken by %(worker)s."), worker=worker),
            slot=slot,
            worker=worker,
            attempt=F("attempt") + 1,
            heartbeat_at=now,
            started_at=Coalesce(F("started_at"), now),
            taken_at=now,
            ended_at=None,
            reason="",
            hint="",
            failure={},
            log_tail="",
        )
    except IntegrityError:
        return False


def beat(run: Run, progress: dict[str, Any] | None = None) -> str | None:
    """Says that the supervisor lives. The state, or None if the run is no longer this supervisor's."""
    changed: dict[str, Any] = {"heartbeat_at": Now()}
    if progress:
        changed["progress"] = progress
    return state_of(run) if _held(run).update(**changed) else None


def state_of(run: Run, *, locked: bool = False) -> str | None:
    """As it is now or, `locked`, until the transaction is over; None if the run was given to another since."""
    held = _held(run).select_for_update() if locked else _held(run)
    return held.values_list("state", flat=True).first()


def finish(
    run: Run,
    state: RunState,
    reason: str = "",
    hint: str = "",
    failure: dict[str, Any] | None = None,
    log_tail: str = "",
    detail: str = "",
) -> bool:
    """The end of a claimed run; frees the device. False if the run is no longer this supervisor's.

    `reason` and `hint` are in English, `failure` has what they are told from: template, hint_template, values.
    """
    failure = failure or {}
    why = Told(failure["template"], failure.get("values") or {}) if failure.get("template") else reason
    return _move(
        run,
        ACTIVE,
        state,
        detail=detail or why,
        where={"attempt": run.attempt},
        slot=None,
        reason=reason,
        hint=hint,
        failure=failure,
        log_tail=log_tail,
        ended_at=timezone.now(),
    )


def reason_of(run: Run) -> str:
    """Why it ended, in the reader's language."""
    return in_readers_language(run.reason, run.failure.get("template", ""), run.failure.get("values"))


def hint_of(run: Run) -> str:
    """What can be done about it, in the reader's language."""
    return in_readers_language(run.hint, run.failure.get("hint_template", ""), run.failure.get("values"))


def detail_of(event: RunEvent) -> str:
    """What is told about a change of state, in the reader's language."""
    return in_readers_language(event.detail, event.words.get("template", ""), event.words.get("values"))


def release(run: Run, detail: str) -> str | None:
    """A claimed run whose supervisor stops goes back to the queue, or ends if that was asked for. The new state."""
    if _move(run, (RunState.RUNNING,), RunState.QUEUED, detail=detail, where={"attempt": run.attempt}, slot=None):
        return RunState.QUEUED
    return RunState.CANCELLED if finish(run, RunState.CANCELLED, detail=detail) else None


def request_cancel(run: Run, actor: User | None = None) -> str:
    """Ends a run that has not begun, and asks a running one to stop at its next step. Asking twice is asking once."""
    detail = gettext_noop("Cancelled before it began.")
    if _move(run, NOT_BEGUN, RunState.CANCELLED, detail=detail, actor=actor, ended_at=timezone.now()):
        return RunState.CANCELLED
    if _move(run, (RunState.RUNNING,), RunState.CANCELLING, actor=actor):
        return RunState.CANCELLING
    run.refresh_from_db()
    if run.state == RunState.CANCELLING:
        return RunState.CANCELLING
    if not run.is_over:  # its worker gave it back between the two, or another one has taken it since
        return request_cancel(run, actor)
    raise NotCancellable(
        _("“%(run)s” is over already: %(state)s.") % {"run": run, "state": run.get_state_display()},
        _("Nothing needs to be done."),
    )


@transaction.atomic
def resume(run: Run, actor: User | None = None) -> Run:
    """Puts a failed or cancelled run back into the queue; it goes on from its last checkpoint. A stage of a round waits
    until it is aimed: see `rounds.resume`."""
    require_models(run)
    state = RunState.QUEUED if run.round_id is None else RunState.WAITING
    over = (RunState.FAILED, RunState.CANCELLED)
    detail = gettext_noop("Resumed.")
    if not _move(run, over, state, detail=detail, actor=actor, reason="", hint="", failure={}, ended_at=None):
        run.refresh_from_db()
        raise RunNotResumable(
            _("“%(run)s” cannot be resumed: it is in the state “%(state)s”.")
            % {"run": run, "state": run.get_state_display()},
            _("Only a failed or cancelled run can be resumed. Start a new run instead."),
        )
    return run


def require_models(run: Run) -> None:
    """Raises RunNotResumable if one that it is aimed at has been deleted; none is until the transaction is over."""
    if model := _deleted_model(run):
        raise RunNotResumable(
            _("“%(run)s” cannot be resumed: its model “%(model)s” has been deleted.") % {"run": run, "model": model},
            _("Start a new run with another model."),
        )


def _deleted_model(run: Run) -> Artifact | None:
    """One that the run is aimed at and that is deleted by now; whoever is about to delete one waits until the run is
    there to forbid it. In the order of their ids, so that no two runs wait for each other; `no_key` lets samples and
    runs refer to them meanwhile."""
    keys = {run.model_id, run.reference_model_id, run.reward_model_id} - {None}
    held = Artifact.ever.select_for_update(no_key=True).filter(pk__in=keys).order_by("pk")
    return next((model for model in list(held) if model.deleted_at), None)


def note(run: Run, detail: Told, actor: User | None = None) -> None:
    """Tells in the run's history what happened to its product; the state stays as it is."""
    _record(run, RunState(run.state), detail, actor)


def reconcile(now: datetime | None = None) -> list[Run]:
    """Takes runs back from supervisors that are gone, by the database's clock; returns the runs that changed."""
    now, active = now or Now(), Run.objects.active()
    silent, missed = now - timedelta(seconds=settings.HEARTBEAT_TIMEOUT), now - MISSED_BEATS
    lost = [(run, silent) for run in active.filter(heartbeat_at__lt=silent)]
    quiet = active.filter(heartbeat_at__lt=missed)
    gone = [(run, missed) for run in quiet if workers.is_gone(run.worker)]
    return [run for run, since in lost + gone if _take_back(run, since)]


def _take_back(run: Run, since: datetime | Combinable) -> bool:
    """Only if its heart has not begun to beat again in the meantime. Of a worker on this host it is known whether it
    is gone; another one's silence may also be its network's."""
    if workers.is_gone(run.worker):
        said = gettext_noop("Its worker %(worker)s is gone; it goes on from its last checkpoint.")
        detail = told(said, worker=run.worker)
    else:
        said = gettext_noop(
            "Nothing was heard of its worker %(worker)s for %(seconds)s seconds; it goes on from its last checkpoint."
        )
        detail = told(said, worker=run.worker, seconds=settings.HEARTBEAT_TIMEOUT)
    same = {"attempt": run.attempt, "heartbeat_at__lt": since}
    if _move(run, (RunState.RUNNING,), RunState.QUEUED, detail=detail, where=same, lost=True, slot=None):
        return True
    detail = told(gettext_noop("Its worker %(worker)s was gone before it could stop."), worker=run.worker)
    end = {"slot": None, "ended_at": timezone.now()}
    return _move(run, (RunState.CANCELLING,), RunState.CANCELLED, detail=detail, where=same, lost=True, **end)


def _held(run: Run) -> Any:
    """The run as long as it is this supervisor's: `attempt` rises with every claim."""
    return Run.objects.filter(pk=run.pk, attempt=run.attempt, state__in=ACTIVE)


@transaction.atomic
def _move(
    run: Run,
    before: Sequence[str],
    after: RunState,
    *,
    detail: Told | str = "",
    actor: User | None = None,
    where: dict[str, Any] | None = None,
    lost: bool = False,
    **changed: Any,
) -> bool:
    """The one place where a state changes. False, and nothing happened, if it is in none of the states `before`. The
    time of a worker counts until now, or, of one that is `lost`, until it was last heard of."""
    if set(before) <= set(ACTIVE) and after not in ACTIVE:
        until = F("heartbeat_at") if lost else Now()
        held = ExpressionWrapper(until - F("taken_at"), output_field=DurationField())
        changed["worked"] = F("worked") + Coalesce(held, timedelta())
    if not Run.objects.filter(pk=run.pk, state__in=before, **(where or {})).update(state=after, **changed):
        return False
    _record(run, after, detail, actor)
    run.refresh_from_db()
    return True


def _record(run: Run, state: RunState, detail: Told | str, actor: User | None) -> None:
    words = detail.as_json() if isinstance(detail, Told) else {}
    RunEvent.objects.create(run=run, state=state, detail=str(detail), words=words, actor=actor)
