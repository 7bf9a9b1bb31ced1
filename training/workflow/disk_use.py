"""What a project's models, checkpoints, exports and caches take of the disk, and what of it can be freed safely."""

import logging
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from django.conf import settings
from django.core.cache import cache
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.models import Project, User
from training.models import Artifact, Run, RunState
from training.workflow.exceptions import BadInput, ModelInUse
from training.workflow.folders import artifact_folder, folder_of, nearest_existing, own_folder

logger = logging.getLogger(__name__)

# Seconds for which a size that was measured is shown again.
SECONDS = 600
# A run's checkpoint, and what a kill may have left beside it (training/ml/durable.py).
CHECKPOINTS = ("checkpoint", "checkpoint.tmp", "checkpoint.old")
LEFTOVERS = ("artifact.tmp", "artifact.old")
OVER = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)
# What may be freed: it is made again when it is needed, or never needed again.
FREEABLE = ("checkpoints", "leftovers", "reference")
# Folders of what frozen models have made of texts: log-probabilities, and features for score heads.
COMPUTED = ("reference", "features")


@dataclass(frozen=True)
class DiskUse:
    """Bytes. `reference` and `converted` are shared by all projects; `free` is what the disk of the runs has left."""

    measured_at: datetime
    models: int
    checkpoints: int
    resumable: int
    leftovers: int
    exports: int
    reference: int
    converted: int
    free: int


def disk_use(project: Project) -> DiskUse:
    """As measured in the last ten minutes by this process, or now."""
    key = _key("disk", project.pk, settings.RUNS_DIR, settings.MODELS_DIR)
    found = cache.get(key)
    if found is None:
        found = measure(project)
        cache.set(key, found, SECONDS)
    return found


def size_of(location: str) -> int | None:
    """Bytes at a model's place, cached as above; None for a hub id or a place on another host."""
    place = Path(location)
    if not place.is_absolute():
        return None
    key = _key("size", place)
    found = cache.get(key)
    if found is None:
        found = bytes_below(place) if place.exists() else -1
        cache.set(key, found, SECONDS)
    return None if found < 0 else found


def measure(project: Project) -> DiskUse:
    """Looks at every file of the project's runs and of the caches; their contents are not read."""
    models = Path(settings.MODELS_DIR)
    copies = [folder for folder in _folders(models) if folder.name not in ("exports", *COMPUTED)]
    written = [folder for artifact in project.artifacts.select_related("run") if (folder := own_folder(artifact))]
    resumable = project.runs.exclude(state=RunState.SUCCEEDED)
    return DiskUse(
        measured_at=timezone.now(),
        models=total(written),
        checkpoints=total(finished_checkpoints(project)),
        resumable=total(_beside(resumable, CHECKPOINTS)),
        leftovers=total(leftovers_of(project)),
        exports=bytes_below(models / "exports" / project.slug),
        reference=sum(bytes_below(models / name) for name in COMPUTED),
        converted=total(copies),
        free=shutil.disk_usage(nearest_existing(Path(settings.RUNS_DIR))).free,
    )


def free(project: Project, what: str, actor: User | None = None) -> int:
    """Removes one of FREEABLE; the bytes it took. Raises BadInput, or ModelInUse while runs read the cache."""
    if what not in FREEABLE:
        known = ", ".join(FREEABLE)
        raise BadInput(
            _("“%(what)s” cannot be freed.") % {"what": what}, _("Use one of: %(names)s.") % {"names": known}
        )
    if what == "reference":
        _require_no_active_run()
        folders = [Path(settings.MODELS_DIR) / name for name in COMPUTED]
    else:
        folders = finished_checkpoints(project) if what == "checkpoints" else leftovers_of(project)
    freed = sum(_remove(folder) for folder in folders)
    logger.info("Project %s: %s bytes of %s freed by %s", project.slug, freed, what, actor)
    forget(project)
    return freed


def finished_checkpoints(project: Project) -> list[Path]:
    """Of runs that have succeeded: what they have made is whole, and they are never resumed."""
    return _beside(project.runs.filter(state=RunState.SUCCEEDED), CHECKPOINTS)


def leftovers_of(project: Project) -> list[Path]:
    """Half-written results of runs that are over, and files of deleted models that could not be removed."""
    deleted = Artifact.ever.filter(project=project, deleted_at__isnull=False, run__isnull=False).select_related("run")
    kept = [artifact_folder(artifact.run) for artifact in deleted if own_folder(artifact)]
    return _beside(project.runs.filter(state__in=OVER), LEFTOVERS) + [folder for folder in kept if folder.is_dir()]


def forget(project: Project) -> None:
    """The next look measures anew."""
    cache.delete(_key("disk", project.pk, settings.RUNS_DIR, settings.MODELS_DIR))


def bytes_below(place: Path) -> int:
    """Of a file, or of all files below a folder; links are not followed, what cannot be read counts nothing."""
    try:
        if place.is_file():
            return place.stat().st_size
        with os.scandir(place) as entries:
            return sum(_size(entry) for entry in entries)
    except OSError:
        return 0


def total(places: Iterable[Path]) -> int:
    return sum(bytes_below(place) for place in places)


def _size(entry: os.DirEntry[str]) -> int:
    if entry.is_dir(follow_symlinks=False):
        return bytes_below(Path(entry.path))
    return entry.stat(follow_symlinks=False).st_size


def _beside(rows: Iterable[Run], names: tuple[str, ...]) -> list[Path]:
    return [folder for run in rows for name in names if (folder := folder_of(run) / name).is_dir()]


def _folders(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []


def _remove(folder: Path) -> int:
    size = bytes_below(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return size - bytes_below(folder)


def _require_no_active_run() -> None:
    if Run.objects.active().exists():
        raise ModelInUse(
            _("A run is under way, and may be reading or writing this cache."), _("Try again when it has ended.")
        )


def _key(*parts: object) -> str:
    return "disk-use-" + sha256("\n".join(map(str, parts)).encode()).hexdigest()
