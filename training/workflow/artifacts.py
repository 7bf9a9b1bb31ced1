"""Models: registers a base model, takes in the product of a run, and says what must be loaded to use one."""

from itertools import count
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from annotate.lists import listed
from annotate.models import Project
from training.models import Artifact, Run, Task
from training.recipes.adapters import MERGEABLE
from training.recipes.reward import separate_adapters
from training.recipes.titles import ENSEMBLE
from training.workflow.exceptions import ModelNotFound, ModelRefused, NameTaken
from training.workflow.folders import artifact_folder
from training.workflow.locations import checked_location, task_at
from training.workflow.model_places import require_place

# What a run of a recipe may begin with; everything else begins with a policy.
STARTS = {"reward": (Task.POLICY, Task.ENCODER)}
NAMES_TRIED = 20  # as many runs of one name may end at the same moment


def register_base(
    project: Project, name: str, location: str, *, encoder: bool = False, reward: bool = False
) -> Artifact:
    """A base model of the project, or a reward model from elsewhere. Which it is its folder tells; of a hub id, which
    is not looked at, `encoder` and `reward` do. Raises ModelNotFound, ModelRefused or NameTaken; nothing is loaded."""
    require_place(project, location)
    location = checked_location(location)
    said = Task.REWARD if reward else Task.ENCODER if encoder else Task.POLICY
    task = task_at(location)
    if task is None and encoder and reward:
        raise ModelRefused(
            _("A model is an encoder to train on or a reward model, not both."), _("Choose one of the two.")
        )
    task = task or said
    try:
        with transaction.atomic():
            _require_kept(location)
            return Artifact.objects.create(project=project, name=name.strip(), task=task, location=location)
    except IntegrityError as error:
        raise NameTaken(
            _("The project has a model called “%(name)s” already.") % {"name": name}, _("Choose another name.")
        ) from error


def _require_kept(location: str) -> None:
    """Raises ModelRefused for the files of a model of ours that has been deleted; whoever is about to delete it waits,
    and then finds the one that is registered from them."""
    place = Path(location)
    above = [str(each) for each in (place, *place.parents)]
    held = Artifact.ever.select_for_update(no_key=True).filter(location__in=above, run__isnull=False).order_by("pk")
    for model in held:
        if model.deleted_at:
            raise ModelRefused(_("“%(name)s” has been deleted.") % {"name": model}, _("Choose another model."))


def import_product(run: Run, manifest: dict[str, Any]) -> Artifact:
    """The artifact that a finished run has written, listed once however often this is called; `manifest` is the
    verified one of its folder."""
    if known := Artifact.ever.filter(run=run).first():
        return known
    folder = artifact_folder(run)
    facts = {
        "project": run.project,
        "task": manifest["task"],
        "location": str(folder.resolve()),
        "is_adapter": manifest["kind"] == "adapter",
        "parent": run.model,
        "run": run,
        "snapshot": run.snapshot,
        "manifest": manifest,
    }
    for _attempt in range(NAMES_TRIED):
        try:
            return _listed(run, facts)
        except IntegrityError:
            # Another supervisor was here at the same moment, or another run was after the same name.
            if known := Artifact.ever.filter(run=run).first():
                return known
    return _listed(run, facts)


def _listed(run: Run, facts: dict[str, Any]) -> Artifact:
    name = _free_name(run.project, run.name)
    with transaction.atomic():
        return Artifact.objects.create(name=name, **facts)


def model_spec(artifact: Artifact) -> dict[str, Any]:
    """{"base", "adapters"}: the base and the adapters that go onto it, in order."""
    adapters: list[str] = []
    node = artifact
    while node.is_adapter and node.parent is not None:
        adapters.insert(0, node.location)
        node = node.parent
    return {"base": node.location, "adapters": adapters}


def adapter_of(artifact: Artifact) -> str:
    """The adapter method that made it; "" for a registered model."""
    return str(config_of(artifact).get("adapter", ""))


def config_of(artifact: Artifact) -> dict[str, Any]:
    """The settings of the run that made it; none of a registered model."""
    return artifact.manifest.get("config") or (artifact.run.config if artifact.run else {})


def blocking_adapter(artifact: Artifact) -> str:
    """The adapter method, if there is one, that stays beside the model and keeps others from being trained on it."""
    node: Artifact | None = artifact
    while node is not None and node.is_adapter:
        adapter = adapter_of(node)
        if adapter and adapter not in MERGEABLE:
            return adapter
        if separate_adapters(config_of(node)) > 1:
            return ENSEMBLE
        node = node.parent
    return ""


def starts_of(project: Project, recipe: str) -> QuerySet[Artifact]:
    """The models that a run of this recipe may begin with."""
    return Artifact.objects.filter(project=project, task__in=STARTS.get(recipe, (Task.POLICY,)))


def start_named(project: Project, recipe: str, name: str = "") -> Artifact:
    """The start of this name for a recipe; without a name the newest policy. Raises ModelNotFound."""
    return (starts_of(project, recipe).filter(name=name).first() if name else None) or policy_named(project, name)


def policy_named(project: Project, name: str = "") -> Artifact:
    """The policy of this name; without a name the newest one. Raises ModelNotFound."""
    policies = Artifact.objects.filter(project=project, task=Task.POLICY)
    found = policies.filter(name=name).first() if name else policies.first()
    if found:
        return found
    if name:
        known = listed(f"“{artifact.name}”" for artifact in policies[:10]) or _("none")
        message = _("The project has no policy called “%(name)s”. It has: %(known)s.") % {"name": name, "known": known}
    else:
        message = _("The project has no model yet.")
    raise ModelNotFound(message, _("Register a base model on the page “Models” first."))


def model_named(project: Project, name: str) -> Artifact:
    """The policy or reward model of this name. Raises ModelNotFound."""
    rows = Artifact.objects.filter(project=project)
    if found := rows.filter(name=name).first():
        return found
    known = listed(f"“{artifact}”" for artifact in rows[:10]) or _("none")
    message = _("The project has no model called “%(name)s”. It has: %(known)s.") % {"name": name, "known": known}
    raise ModelNotFound(message, _("Write the name as it stands on the page “Models”."))


def reward_model_named(project: Project, name: str = "") -> Artifact:
    """The reward model of this name; without a name the newest one. Raises ModelNotFound."""
    rows = Artifact.objects.filter(project=project, task=Task.REWARD)
    found = rows.filter(name=name).first() if name else rows.first()
    if found:
        return found
    known = listed(f"“{artifact}”" for artifact in rows[:10]) or _("none")
    message = _("The project has no reward model called “%(name)s”. It has: %(known)s.") % {
        "name": name,
        "known": known,
    }
    raise ModelNotFound(
        message if name else _("The project has no reward model yet."), _("Train one with the recipe “reward” first.")
    )


def _free_name(project: Project, wanted: str) -> str:
    """`wanted`, or "wanted (2)" … where a model of that name exists."""
    taken = set(Artifact.objects.filter(project=project, name__startswith=wanted[:100]).values_list("name", flat=True))
    if wanted not in taken:
        return wanted
    return next(name for number in count(2) if (name := f"{wanted[:110]} ({number})") not in taken)
