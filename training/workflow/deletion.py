"""Deleting a model: what depends on it, what forbids it, and its end; samples and later models still name it."""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from annotate.lists import listed
from annotate.models import Comparison, Project, User
from training.models import Artifact, Round, Run, Sample
from training.workflow import runs
from training.workflow.disk_use import bytes_below, forget
from training.workflow.exceptions import ModelInUse, ModelNotFound
from training.workflow.exporting import exports_of
from training.workflow.folders import own_folder
from training.workflow.told import told

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dependents:
    """`adapters`, `unfinished` and `registered` forbid the deletion; the rest stays as it is and goes on naming the
    model. `registered` are those whose files are the ones that would go, in whatever project."""

    project: Project
    adapters: list[Artifact]
    others: list[Artifact]
    unfinished: list[Run]
    runs: list[Run]
    rounds: list[Round]
    samples: int
    comparisons: int
    exports: list[Run]
    registered: list[Artifact]

    @property
    def reasons(self) -> list[str]:
        """Why it cannot be deleted; empty if it can."""
        found = []
        if self.adapters:
            said = ngettext("An adapter needs it: %(names)s.", "Adapters need it: %(names)s.", len(self.adapters))
            found.append(said % {"names": _listed(self.adapters)})
        if self.unfinished:
            said = ngettext(
                "A run is going to use it: %(names)s.", "Runs are going to use it: %(names)s.", len(self.unfinished)
            )
            found.append(said % {"names": _listed(self.unfinished)})
        if self.registered:
            said = ngettext(
                "Another model was registered from its files: %(names)s.",
                "Other models were registered from its files: %(names)s.",
                len(self.registered),
            )
            found.append(said % {"names": self._named(self.registered)})
        return found

    def _named(self, models: list[Artifact]) -> str:
        """Of another project's no more is said than that there is one."""
        ours = [model for model in models if model.project_id == self.project.pk]
        elsewhere = [_("a model of another project")] if len(ours) < len(models) else []
        return listed([*([_listed(ours)] if ours else []), *elsewhere])


def dependents_of(artifact: Artifact) -> Dependents:
    """Reads only."""
    children = list(artifact.children.order_by("id"))
    used = runs_with(artifact)
    comparisons = Comparison.objects.filter(Q(response_a__sample__artifact=artifact) | _b_of(artifact))
    return Dependents(
        project=artifact.project,
        adapters=[child for child in children if child.is_adapter],
        others=[child for child in children if not child.is_adapter],
        unfinished=list(_unfinished(artifact)),
        runs=list(used),
        rounds=list(artifact.rounds_started.order_by("number")),
        samples=Sample.objects.filter(artifact=artifact).count(),
        comparisons=comparisons.count(),
        exports=exports_of(artifact),
        registered=list(_registered_from(artifact)),
    )


def runs_with(artifact: Artifact) -> QuerySet[Run]:
    """Runs that began with it, compared with it or were rewarded by it, the newest first."""
    return Run.objects.filter(_with(artifact)).exclude(pk=artifact.run_id).order_by("-id")


def delete_artifact(artifact: Artifact, actor: User | None = None) -> int:
    """Takes it out of the project and removes its files, if a run of ours wrote them; the bytes that were freed.

    A registered folder, file or hub id is left alone. Raises ModelInUse, or ModelNotFound where it was deleted before.
    """
    with transaction.atomic():
        found = Artifact.objects.select_for_update().filter(pk=artifact.pk).first()
        if found is None:
            raise ModelNotFound(
                _("“%(name)s” has been deleted already.") % {"name": artifact}, _("Nothing needs to be done.")
            )
        if reasons := dependents_of(found).reasons:
            raise ModelInUse(" ".join(reasons), _("Delete what needs it first, or let the runs end."))
        Artifact.objects.filter(pk=found.pk).update(deleted_at=timezone.now(), deleted_by=actor)
        if found.run:
            runs.note(found.run, told(gettext_noop("Its model “%(name)s” was deleted."), name=found.name), actor)
    forget(found.project)
    return _remove(own_folder(found))


def _remove(folder: Path | None) -> int:
    """After the row: a crash between the two leaves files, which “Disk use” finds, and never a model without them."""
    if folder is None or not folder.is_dir():
        return 0
    size = bytes_below(folder)
    try:
        shutil.rmtree(folder)
    except OSError as error:
        logger.warning("Files of a deleted model are left in %s: %s", folder, error)
        return 0
    return size


def _unfinished(artifact: Artifact) -> QuerySet[Run]:
    """The later stages of a round are aimed only when their turn comes: until its end they may want any of its models,
    and the one it starts from."""
    later = Q(round__base_policy=artifact)
    if artifact.run and artifact.run.round_id:
        later |= Q(round=artifact.run.round_id)
    return Run.objects.unfinished().filter(_with(artifact) | later).exclude(pk=artifact.run_id).order_by("id")


def _registered_from(artifact: Artifact) -> QuerySet[Artifact]:
    """A finished run's folder can be registered again like any other, by its place."""
    if own_folder(artifact) is None:
        return Artifact.objects.none()
    same = Q(location=artifact.location) | Q(location__startswith=f"{artifact.location}/")
    return Artifact.objects.filter(same).exclude(pk=artifact.pk).order_by("id")


def _with(artifact: Artifact) -> Q:
    return Q(model=artifact) | Q(reference_model=artifact) | Q(reward_model=artifact)


def _b_of(artifact: Artifact) -> Q:
    return Q(response_b__sample__artifact=artifact)


def _listed(rows: list[Artifact] | list[Run], most: int = 5) -> str:
    named = listed(f"“{row}”" for row in rows[:most])
    return named if len(rows) <= most else f"{named} …"
