"""From where a project may register models: not from what others have made, and below the operator's roots if named."""

import os
from contextlib import suppress
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from annotate.models import Project
from training.models import Run
from training.recipes.export import export_folder
from training.recipes.hub_ids import is_hub_id
from training.workflow.exceptions import ModelRefused

# Of a run's number: what is longer names no row, and no database would take it.
MOST_DIGITS = 18


def require_place(project: Project, location: str) -> None:
    """Raises ModelRefused, in the same words whether something is there or not: call it before anything looks there.

    Links are followed, those in a folder too: nor may another project's weights be taken by a link to them."""
    location = location.strip()
    place = _real(os.path.expanduser(location))
    if not location or (is_hub_id(location) and not os.path.exists(place)):
        return
    own = _is_own(project, place)
    if own is None:
        own = not settings.MODEL_ROOTS or any(place.is_relative_to(_real(root)) for root in settings.MODEL_ROOTS)
    if not own or any(_is_own(project, each) is False for each in _linked(place)):
        raise ModelRefused(
            _("“%(location)s” is no place from which this project may register a model.") % {"location": location},
            _(
                "It may register what its own runs and exports have written, and hub ids; about other places ask "
                "whoever runs the workbench."
            ),
        )


def _is_own(project: Project, place: Path) -> bool | None:
    """Of what lies where runs and exports are written, whether the project has written it; None of any other place."""
    runs = _real(settings.RUNS_DIR)
    if place.is_relative_to(runs):
        number = "".join(place.relative_to(runs).parts[:1])
        known = number.isdecimal() and len(number) <= MOST_DIGITS
        return known and Run.objects.filter(project=project, pk=int(number)).exists()
    exports = _real(export_folder(Path(settings.MODELS_DIR), project.slug, "").parent)
    if place.is_relative_to(exports):
        return place.is_relative_to(exports / project.slug)
    return None


def _linked(folder: Path) -> list[Path]:
    """Where the links in a folder lead; nowhere from what is no folder, or may not be entered."""
    with suppress(OSError), os.scandir(folder) as entries:
        return [_real(entry.path) for entry in entries if entry.is_symlink()]
    return []


def _real(path: str | Path) -> Path:
    """Unlike Path.resolve, it minds neither a circle of links nor a folder that may not be entered."""
    return Path(os.path.realpath(path))
