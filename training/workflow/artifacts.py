"""Models: registers a base model, takes in the product of a run, and says what must be loaded to use one."""

from itertools import count
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from annotate.models import Project, User
from training.models import Artifact, Run, Task
from training.workflow.exceptions import ModelNotFound, NameTaken
from training.workflow.folders import artifact_folder
from training.workflow.locations import checked_location
from training.workflow.manifests import verified_manifest


def register_base(project: Project, name: str, location: str, actor: User | None = None) -> Artifact:
    """A base model of the project. Raises ModelNotFound, ModelRefused or NameTaken; nothing is loaded."""
    location = checked_location(location)
    try:
        with transaction.atomic():
            return Artifact.objects.create(project=project, name=name.strip(), task=Task.POLICY, location=location)
    except IntegrityError as error:
        raise NameTaken(
            _("The project has a model called “%(name)s” already.") % {"name": name}, _("Choose another name.")
        ) from error


def import_product(run: Run) -> Artifact:
    """The artifact that a finished run has written, listed once however often this is called. Raises BrokenArtifact."""
    if known := Artifact.objects.filter(run=run).first():
        return known
    folder = artifact_folder(run)
    manifest = verified_manifest(folder)
    with transaction.atomic():
        return Artifact.objects.create(
            project=run.project,
            name=_free_name(run.project, run.name),
            task=manifest["task"],
            location=str(folder.resolve()),
            is_adapter=manifest["kind"] == "adapter",
            parent=run.model,
            run=run,
            snapshot=run.snapshot,
            manifest=manifest,
        )


def model_spec(artifact: Artifact) -> dict[str, Any]:
    """{"base", "adapters"}: the base and the adapters that go onto it, in order."""
    adapters: list[str] = []
    node = artifact
    while node.is_adapter and node.parent is not None:
        adapters.insert(0, node.location)
        node = node.parent
    return {"base": node.location, "adapters": adapters}


def policy_named(project: Project, name: str = "") -> Artifact:
    """The policy of this name; without a name the newest one. Raises ModelNotFound."""
    policies = Artifact.objects.filter(project=project, task=Task.POLICY)
    found = policies.filter(name=name).first() if name else policies.first()
    if found:
        return found
    if name:
        known = ", ".join(f"“{artifact.name}”" for artifact in policies[:10]) or _("none")
        message = _("The project has no policy called “%(name)s”. It has: %(known)s.") % {"name": name, "known": known}
    else:
        message = _("The project has no model yet.")
    raise ModelNotFound(message, _("Register a base model on the page “Models” first."))


def _free_name(project: Project, wanted: str) -> str:
    """`wanted`, or "wanted (2)" … where a model of that name exists."""
    taken = set(Artifact.objects.filter(project=project, name__startswith=wanted[:100]).values_list("name", flat=True))
    if wanted not in taken:
        return wanted
    return next(name for number in count(2) if (name := f"{wanted[:110]} ({number})") not in taken)
