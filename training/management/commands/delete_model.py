"""manage.py delete_model: shows what depends on a model, and with --yes deletes it."""

from typing import Any

from django.core.management.base import CommandParser

from annotate.management.project_command import named_user, project_named
from annotate.management.telling import Refused, TellingCommand
from training.management import options
from training.models import Artifact
from training.workflow.artifacts import model_named
from training.workflow.deletion import Dependents, delete_artifact, dependents_of


class Command(TellingCommand):
    help = "Show what depends on a model; with --yes, delete it and the files that its run has written."

    def add_arguments(self, parser: CommandParser) -> None:
        options.add_model_arguments(parser)
        parser.add_argument("--yes", action="store_true", help="Delete it; without this nothing is changed.")

    def handle(self, *args: Any, **given: Any) -> None:
        with options.clear_errors():
            model = model_named(project_named(given["project"]), given["model"])
            found = dependents_of(model)
            freed = delete_artifact(model, actor=named_user(given["by"])) if given["yes"] else 0
        facts = {"model": model.name, "deleted": given["yes"], "freed": freed, "reasons": found.reasons}
        text = _text(model, found, given["yes"], freed)
        if found.reasons:
            raise Refused(text, {"code": "ModelInUse", "detail": " ".join(found.reasons), "hint": "", **facts})
        options.report(self, given["json"], facts, text)


def _text(model: Artifact, found: Dependents, deleted: bool, freed: int) -> str:
    lines = [
        f"“{model}”: {len(found.adapters)} adapters need it, {len(found.others)} whole models were made from it, "
        f"{len(found.unfinished)} runs are going to use it, {len(found.runs)} runs and {len(found.rounds)} rounds have "
        f"used it, {found.samples} samples in {found.comparisons} comparisons are its, {len(found.exports)} exports.",
    ]
    if deleted:
        lines.append(f"Deleted; {freed / 1e6:.1f} MB are free again.")
    elif found.reasons:
        lines += ["It cannot be deleted.", *found.reasons]
    else:
        lines.append("Nothing was changed. Add --yes to delete it.")
    return "\n".join(lines)
