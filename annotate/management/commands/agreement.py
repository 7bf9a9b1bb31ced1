"""`agreement PROJECT`: the coefficients of the agreement page."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from annotate.management.project_command import ProjectCommand
from annotate.models import Project
from annotate.workflow.agreement import BOOTSTRAP, agreement_of


class Command(ProjectCommand):
    help = "Prints raw agreement and Krippendorff's alpha of a project, each with its 95 % interval and n."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--bootstrap", type=int, default=BOOTSTRAP, metavar="N", help="resamples for the intervals")

    def act(self, project: Project, **options: Any) -> dict[str, Any]:
        if options["bootstrap"] < 1:
            raise CommandError("--bootstrap takes a whole number from 1 on.")
        return agreement_of(project=project, bootstrap=options["bootstrap"]).as_json()

    def describe(self, result: dict[str, Any]) -> str:
        lines = [f"{name}: {result[name]}" for name in ("n_items", "n_judgments", "n_annotators")]
        for family in ("raw_agreement", "krippendorff_alpha"):
            lines += [f"{family} ({name}): {_number(outcome)}" for name, outcome in result[family].items()]
        for pair in result["annotator_pairs"]:
            one, other = pair["annotators"]
            lines.append(
                f"{one} – {other}: raw {_number(pair['raw_agreement'])}; alpha {_number(pair['krippendorff_alpha'])}"
            )
        return "\n".join(lines)


def _number(outcome: dict[str, Any]) -> str:
    if outcome["value"] is None:
        return f"not defined, because {outcome['reason']}"
    return f"{outcome['value']:.3f} [{outcome['low']:.3f}, {outcome['high']:.3f}], n = {outcome['n']}"
