"""A bench: starts the same training with every adapter method, takes up again what failed, and stops what is left."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from annotate.models import Project, Snapshot, User
from training.models import Artifact, Bench, DeviceWish, Priority, Run, RunState
from training.recipes import RecipeError, load
from training.recipes.adapters import HEAD, customary_rate
from training.recipes.estimate import Data, Machine, Question, Speed, estimate
from training.recipes.estimate.adapters import methods_for
from training.workflow import configs, naming, runs, starting
from training.workflow.disk import enough_disk
from training.workflow.exceptions import BadConfig, BadInput, NotCancellable, RunNotResumable
from training.workflow.refusals import checked_config
from training.workflow.told import Told, in_readers_language, told

# Recipes that learn from pairs and are measured by an accuracy on held-out ones.
BENCHED = ("reward", "dpo")
Configs = Mapping[str, dict[str, Any]]


def start_bench(
    project: Project,
    recipe: str,
    snapshot: Snapshot,
    model: Artifact,
    config: dict[str, Any] | None = None,
    *,
    methods: Sequence[str] = (),
    overrides: Configs | None = None,
    seed: int = 0,
    priority: Priority = Priority.NORMAL,
    device: DeviceWish = DeviceWish.ANY,
    actor: User | None = None,
) -> Bench:
    """Queues a run for each method (all of the recipe's without `methods`); those that the model refuses are written
    down with the reason. `config` is for all methods, `overrides` what differs, by method.

    Raises BadInput, BadConfig, ModelRefused, TooFewLabels or TooLittleDisk; then nothing was made.
    """
    config, overrides = config or {}, overrides or {}
    _check_recipe(recipe)
    chosen = _checked_methods(recipe, methods, overrides)
    starting.check_inputs(project, recipe, starting.Inputs(model, snapshot))
    _require_no_adapter(recipe, config, *overrides.values())
    complete = {name: _settings(recipe, name, config, overrides.get(name, {})) for name in chosen}
    refused = _refused(recipe, model, complete)
    if not methods and HEAD not in chosen:
        refused[HEAD] = told(gettext_noop("Only a reward model has a score head."))
    planned = _planned(complete, refused)
    enough_disk(model, [(recipe, settings) for settings in planned.values()])
    with transaction.atomic():
        bench = Bench(recipe=recipe, snapshot=snapshot, model=model, seed=seed, config=config, created_by=actor)
        bench.refused = {name: {"reason": str(why), **why.as_json()} for name, why in refused.items()}
        _number(bench, project)
        inputs = {"seed": seed, "snapshot": snapshot, "model": model, "priority": priority, "device": device}
        for settings in planned.values():
            title = naming.name_of(recipe, settings, model=model, data=snapshot, seed=seed)
            title = f"Bench {bench.number}{naming.SEPARATOR}{title}"[: naming.LONGEST]
            runs.create_run(project, recipe, settings, title, **inputs, bench=bench, actor=actor)
    return bench


def resume_bench(bench: Bench, actor: User | None = None) -> list[Run]:
    """Puts failed and cancelled cells back into the queue, where they go on from their checkpoints; what is done stays.

    Raises RunNotResumable where there is nothing to take up, or a model is gone.
    """
    with transaction.atomic():
        found = [run for run in bench.runs.order_by("pk") if run.can_resume]
        if not found:
            said = _("No run of bench %(number)s has failed or was cancelled.") % {"number": bench.number}
            raise RunNotResumable(said, _("Nothing needs to be done."))
        return [run for run in found if _resumed(run, actor)]


def cancel_bench(bench: Bench, actor: User | None = None) -> int:
    """Ends what has not begun and asks what is running to stop; how many that were. Asking twice is asking once."""
    asked = 0
    for run in bench.runs.unfinished():
        try:
            runs.request_cancel(run, actor=actor)
            asked += 1
        except NotCancellable:
            continue  # it has come to its end in the meantime
    return asked


def _resumed(run: Run, actor: User | None) -> bool:
    """False where somebody else was faster, and it goes on without us."""
    try:
        runs.resume(run, actor=actor)
    except RunNotResumable:
        if run.can_resume:  # as it stands now: it is its model that is gone
            raise
        return False
    return True


def refusal_of(bench: Bench, method: str) -> str:
    """Why the method was given no run, in the reader's language."""
    why = bench.refused[method]
    return in_readers_language(why.get("reason", ""), why.get("template", ""), why.get("values"))


def state_of(bench_runs: Sequence[Run]) -> str:
    """ "running", "waiting", "incomplete" (something failed or was cancelled) or "done"."""
    states = {run.state for run in bench_runs}
    if states & {RunState.RUNNING, RunState.CANCELLING}:
        return "running"
    if states & {RunState.QUEUED, RunState.WAITING}:
        return "waiting"
    return "incomplete" if states & {RunState.FAILED, RunState.CANCELLED} else "done"


def _check_recipe(recipe: str) -> None:
    if recipe not in BENCHED:
        raise BadInput(
            _("There is no bench of “%(recipe)s”.") % {"recipe": recipe},
            _("Use one of: %(names)s.") % {"names": ", ".join(BENCHED)},
            where="recipe",
        )


def _checked_methods(recipe: str, methods: Sequence[str], overrides: Configs) -> list[str]:
    """In the recipe's order."""
    known = methods_for(recipe)
    for name in (*methods, *overrides):
        if name not in known:
            raise BadInput(
                _("“%(recipe)s” has no adapter method “%(name)s”.") % {"recipe": recipe, "name": name},
                _("Use one of: %(names)s.") % {"names": ", ".join(known)},
                where="methods",
            )
    return [name for name in known if name in methods] if methods else list(known)


def _require_no_adapter(recipe: str, *configs: dict[str, Any]) -> None:
    if any("adapter" in settings for settings in configs):
        said = _("A bench chooses the adapter itself.")
        hint = _("Leave it out, and say which methods to compare.")
        raise BadConfig(f"{recipe}.adapter: {said}", hint, field="adapter", recipe=recipe, said=said)


def _planned(complete: dict[str, dict[str, Any]], refused: Mapping[str, Told]) -> dict[str, dict[str, Any]]:
    """What is to be trained: two methods at least."""
    planned = {name: settings for name, settings in complete.items() if name not in refused}
    if len(planned) < 2:
        raise BadInput(
            _("There is nothing to compare: %(n)s of the chosen methods can be trained.") % {"n": len(planned)},
            _("Choose at least two that the model takes."),
            where="methods",
        )
    return planned


def _number(bench: Bench, project: Project) -> None:
    """Stores it as the project's next one."""
    # `no_key`: a run that has its models already, and still needs the project, must not wait for us.
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    bench.project, bench.number = project, (project.benches.aggregate(last=Max("number"))["last"] or 0) + 1
    bench.save()


def _settings(recipe: str, method: str, config: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Complete and checked. The learning rate that is given for all is LoRA's: every other method gets the customary
    multiple of it, unless one was given for it alone."""
    settings = checked_config(recipe, {**config, **own, "adapter": method})
    if config.get("learning_rate") is not None and "learning_rate" not in own:
        return checked_config(recipe, {**settings, "learning_rate": customary_rate(settings["learning_rate"], method)})
    return settings


def _refused(recipe: str, model: Artifact, complete: dict[str, dict[str, Any]]) -> dict[str, Told]:
    """What has no place in the model, each method with its own settings, as far as the config.json tells; without one,
    or of a family that is not known here, the run itself will."""
    found: dict[str, Told] = {}
    for name, settings in complete.items():
        try:
            starting.check_adapter(recipe, model, settings)
        except BadConfig:
            found[name] = told(gettext_noop("It is not offered on an encoder."))
    try:
        architecture = configs.architecture_of(model)
    except (BadInput, BadConfig):
        return found
    if not architecture.known:
        return found
    asked = Question(architecture, recipe, Machine(), Data(0, 0), Speed())
    for name, settings in complete.items():
        try:
            estimate(asked, load(recipe, settings))
        except RecipeError as error:
            found.setdefault(name, told(error.template, **error.values))
    return found
