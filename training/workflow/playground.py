"""The life of a playground: started as a run, ended, its names revealed; and whether a project takes pairs from it."""

import random
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from annotate.models import Project, User
from training.models import Artifact, DeviceWish, Playground, PlaygroundRule, Priority, Run, Task
from training.recipes.mailbox import FIRST, SECOND, Mailbox
from training.workflow import jobs, runs
from training.workflow.disk import enough_disk
from training.workflow.exceptions import BadInput, NotCancellable
from training.workflow.folders import folder_of, progress_of
from training.workflow.outcomes import result_of
from training.workflow.playground_memory import memory_wanted, require_room
from training.workflow.refusals import checked_config, require_task
from training.workflow.tails import Tail
from training.workflow.told import told

LEFT, RIGHT = "left", "right"
# What the training process says of itself once it has loaded everything (training/ml/playground.py).
SERVING = "serving"


def start_playground(
    project: Project,
    models: list[Artifact],
    *,
    reward_model: Artifact | None = None,
    blind: bool = False,
    config: dict[str, Any] | None = None,
    anyway: bool = False,
    priority: Priority = Priority.NORMAL,
    device: DeviceWish = DeviceWish.ANY,
    actor: User | None = None,
) -> Playground:
    """Queues a run that loads one model or two, and a reward model, or that alone.

    Raises BadInput, BadConfig, ModelRefused, TooLittleDisk, or TooLittleMemory unless it is to start `anyway`.
    """
    settings = checked_config("playground", config or {})
    _check_models(project, models, reward_model, blind)
    for model in [*models, *([reward_model] if reward_model else [])]:
        enough_disk(model, [("playground", settings)])
    if not anyway:
        require_room(memory_wanted(models, reward_model, device))
    first, second = (*models, None, None)[:2]
    with transaction.atomic():
        run = runs.create_run(
            project,
            "playground",
            settings,
            _name(models, reward_model),
            model=first or reward_model,
            reference_model=second,
            reward_model=reward_model,
            priority=priority,
            device=device,
            actor=actor,
        )
        # Not from the run's seed, which whoever looks at it could draw from as well.
        flipped = blind and bool(random.SystemRandom().getrandbits(1))
        session = Playground.objects.create(run=run, blind=blind, flipped=flipped)
        # The mailbox takes messages as soon as it is there: its folder must be known as this run's, or it would be set
        # aside. And a worker may take the run as soon as it sees it: its own preparing would run into this one.
        jobs.prepare(run)
    return session


def end_playground(session: Playground, actor: User | None = None) -> None:
    """What is being written is kept as far as it is. One that is over already stays as it is."""
    try:
        runs.request_cancel(session.run, actor=actor)
    except NotCancellable:
        return


def reveal(session: Playground, actor: User | None = None) -> None:
    """From now on the names stand above the responses; who asked for it stands in the run's history."""
    changed = Playground.objects.filter(pk=session.pk, blind=True, revealed_at__isnull=True)
    with transaction.atomic():
        if changed.update(revealed_at=timezone.now()):
            runs.note(session.run, told(gettext_noop("The names of the two models were revealed.")), actor)
    session.refresh_from_db()


def take_in(run: Run) -> None:
    """What the process says of its end."""
    run.result = {name: value for name, value in result_of(run).items() if name in ("answered", "ended", "seconds")}
    run.save(update_fields=["result"])


def allow_comparisons(project: Project, allowed: bool) -> None:
    PlaygroundRule.objects.update_or_create(project=project, defaults={"takes_comparisons": allowed})


def takes_comparisons(project: Project) -> bool:
    return PlaygroundRule.objects.filter(project=project, takes_comparisons=True).exists()


def mailbox_of(session: Playground) -> Mailbox:
    return Mailbox(folder_of(session.run))


def sides_of(session: Playground) -> dict[str, str]:
    """{place on the screen: whose answer stands there}, from left to right; empty if there is only a reward model."""
    run = session.run
    if run.reference_model_id is None:
        return {} if run.model_id == run.reward_model_id else {LEFT: FIRST}
    return {LEFT: SECOND, RIGHT: FIRST} if session.flipped else {LEFT: FIRST, RIGHT: SECOND}


def artifact_of(session: Playground, part: str) -> Artifact:
    return session.run.reference_model if part == SECOND else session.run.model


def names_of(session: Playground) -> dict[str, str]:
    """{place on the screen: the model's name}; empty as long as they are hidden."""
    if session.names_are_hidden:
        return {}
    return {side: artifact_of(session, part).name for side, part in sides_of(session).items()}


def progress_now(session: Playground) -> dict[str, Any]:
    """The last line that this attempt's process has written; the database may still have that of an earlier one."""
    lines = Tail(progress_of(session.run)).lines() if session.run.is_active else []
    return lines[-1] if lines else {}


def is_serving(session: Playground) -> bool:
    return progress_now(session).get("stage") == SERVING


def _check_models(project: Project, models: list[Artifact], reward: Artifact | None, blind: bool) -> None:
    if not models and reward is None:
        raise BadInput(_("Nothing was chosen."), _("Choose a model to talk to, or a reward model."), where="model")
    if len(models) > 2:
        raise BadInput(_("At most two models stand side by side."), _("Choose one or two."), where="model")
    if len(models) == 2 and models[0] == models[1]:
        raise BadInput(_("This is the same model."), _("Choose another one, or none."), where="other")
    if blind and len(models) < 2:
        raise BadInput(_("One model alone cannot be hidden."), _("Choose a second model."), where="blind")
    for where, model in zip(("model", "other"), models, strict=False):
        require_task(project, model, Task.POLICY, _("Choose a policy."), where)
    if reward is not None:
        require_task(project, reward, Task.REWARD, _("Choose a reward model."), "reward_model")


def _name(models: list[Artifact], reward: Artifact | None) -> str:
    """In the order of their names, which tells nothing of who stands where."""
    named = " / ".join(sorted(model.name for model in models)) or str(reward)
    return f"{_('Playground')}: {named}"[:120]
