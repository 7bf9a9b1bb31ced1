"""`agreement PROJECT`: the coefficients of the agreement page."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from annotate.management.project_command import ProjectCommand
from annotate.models import Project
from annotate.workflow.agreement import BOOTSTRAP, agreement_of
from annotate.workflow.agreement_groups import BREAKDOWNS


class Command(ProjectCommand):
    help = "Prints every agreement coefficient of a project, each with its 95 % interval and n, or why there is none."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--by", choices=BREAKDOWNS, default="", help="also by group")
        parser.add_argument("--bootstrap", type=int, default=BOOTSTRAP, metavar="N", help="resamples for the intervals")

    def act(self, project: Project, **options: Any) -> dict[str, Any]:
        if options["bootstrap"] < 1:
            raise CommandError("--bootstrap takes a whole number from 1 on.")
        return agreement_of(project=project, by=options["by"], bootstrap=options["bootstrap"]).as_json()

    def describe(self, result: dict[str, Any]) -> str:
        lines = _lines(result)
        for group in result.get("groups", []):
            lines += ["", f"{result['by']} {group['group'] or 'none'}", *(f"  {line}" for line in _lines(group))]
        return "\n".join(lines)


def _lines(result: dict[str, Any]) -> list[str]:
    """Every number of a report: counts, coefficients by their path, then the pairs."""
    lines = []
    for name, found in result.items():
        if isinstance(found, int):
            lines.append(f"{name}: {found}")
        elif isinstance(found, dict):
            variants = {name: found} if "value" in found else {f"{name} ({key})": each for key, each in found.items()}
            lines += [f"{label}: {_number(outcome)}" for label, outcome in variants.items()]
    for each in result.get("annotators_against_adjudicated", []):
        lines.append(f"{each['annotator']} – adjudicated: raw {_number(each['raw_agreement'])}")
    for pair in result.get("cohen_kappa", []):
        one, other = pair["annotators"]
        lines.append(f"{one} – {other}: raw {_number(pair['raw_agreement'])}; kappa {_number(pair)}")
    return lines


def _number(outcome: dict[str, Any]) -> str:
    if outcome["value"] is None:
        return f"not defined, because {outcome['reason']}"
    return f"{outcome['value']:.3f} [{outcome['low']:.3f}, {outcome['high']:.3f}], n = {outcome['n']}"
