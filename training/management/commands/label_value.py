"""`label_value PROJECT`: what more judgments would bring, computed now."""

from argparse import ArgumentParser
from typing import Any

from annotate.management.project_command import ProjectCommand
from annotate.models import Project
from training.workflow.label_value import WORTH, label_value_of, with_advice, worth_from


class Command(ProjectCommand):
    help = "Prints what further judgments would bring: right labels, agreement, reward models; and when to stop."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--worth", default=WORTH, metavar="J", help="judgments that one right label is worth (20)")

    def act(self, project: Project, **options: Any) -> dict[str, Any]:
        return with_advice(label_value_of(project=project), worth_from(options))

    def describe(self, result: dict[str, Any]) -> str:
        counts = "{n_judgments} judgments of {n_comparisons} comparisons by {n_annotators} annotators"
        lines = [counts.format(**result)]
        if result.get("n_bad"):
            lines.append(f"left out, bad items: {result['n_bad']}")
        if result["reason"]:
            lines.append(f"the value of labels is not defined, because {result['reason']}")
        lines += [f"right labels with {row['votes']} judgments: {_of(row['accuracy'])}" for row in result["labels"]]
        lines += [f"{row['more']} more judgments: {_of(row['gain'], '+')}" for row in result["more"] if row["more"]]
        lines += [_agreement(row) for row in result["agreement"]]
        if advice := result["advice"]:
            lines.append(f"{advice['verdict'].replace('_', ' ')}: {advice['more']} more of each comparison")
        return "\n".join([*lines, *_reward_models(result["reward_models"])])


def _agreement(row: dict[str, Any]) -> str:
    made = " (expected)" if row["simulated"] else ""
    return f"alpha with {row['votes']} judgments{made}: {_of(row['alpha'])}"


def _reward_models(found: dict[str, Any]) -> list[str]:
    lines = [f"held-out accuracy with {row['pairs']} pairs: {_of(row['accuracy'])}" for row in found["points"]]
    if found["reason"]:
        return [*lines, f"what more pairs would bring to a reward model is not known, because {found['reason']}"]
    return lines + [f"with {row['pairs']} pairs, expected: {_of(row['gain'], '+')}" for row in found["more"]]


def _of(outcome: dict[str, Any], sign: str = "") -> str:
    if outcome["value"] is None:
        return f"not defined, because {outcome['reason']}"
    value = format(outcome["value"], f"{sign}.3f")
    return f"{value} [{outcome['low']:.3f}, {outcome['high']:.3f}], n = {outcome['n']}"
