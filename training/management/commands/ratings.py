"""`ratings PROJECT`: the numbers of the ratings page, computed now."""

from argparse import ArgumentParser
from typing import Any

from annotate.management.project_command import ProjectCommand
from annotate.models import Project
from training.workflow.rating_filters import CRITERIA, filters_from
from training.workflow.ratings import ratings_of


class Command(ProjectCommand):
    help = "Prints the Bradley-Terry ratings of the models whose responses people compared, or why there are none."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--criterion", choices=CRITERIA, default=CRITERIA[0], help="what was judged")
        parser.add_argument("--round", default="", metavar="N", help="comparisons of this round only, or none")
        parser.add_argument("--tag", default="", help="prompts with this tag only")
        parser.add_argument("--guideline", default="", metavar="N", help="judged under this version only, or none")
        parser.add_argument("--surplus", action="store_true", help="count surplus judgments too")

    def act(self, project: Project, **options: Any) -> dict[str, Any]:
        names = ("criterion", "round", "tag", "guideline", "surplus")
        return ratings_of(project=project, filters=filters_from({name: options[name] for name in names}))

    def describe(self, result: dict[str, Any]) -> str:
        counts = (
            "{n_judgments} judgments of {n_comparisons} comparisons of {n_prompts} prompts by {n_annotators} annotators"
        )
        lines = [counts.format(**result), *(f"left out, {why}: {n}" for why, n in result["left_out"].items() if n)]
        if result["intervals_over"]:
            lines.append(f"intervals are over {result['intervals_over']}")
        if result["reason"]:
            lines.append(f"ratings are not defined, because {result['reason']}")
        lines += [_row(row) for row in result["ratings"]]
        lines += [f"cannot be told apart: {', '.join(group)}" for group in result["groups"] if len(group) > 1]
        lines += [
            f"{pair['model']} against {pair['against']}: {_share(pair['win_rate'])}" for pair in result["win_rates"]
        ]
        return "\n".join(
            [*lines, f"the response shown first, between equals, by these people: {_share(result['position'])}"]
        )


def _row(row: dict[str, Any]) -> str:
    record = f"{row['wins']} won, {row['ties']} tied, {row['losses']} lost"
    rating, elo = row["rating"], row["elo"]
    if rating["value"] is None:
        return f"{row['model']}: {record}"
    interval = f"[{rating['low']:.3f}, {rating['high']:.3f}], n = {rating['n']}"
    return f"{row['model']}: {rating['value']:.3f} {interval}; Elo {elo['value']:.0f}; {record}"


def _share(outcome: dict[str, Any]) -> str:
    if outcome["value"] is None:
        return f"not defined, because {outcome['reason']}"
    return f"{outcome['value']:.3f} [{outcome['low']:.3f}, {outcome['high']:.3f}], n = {outcome['n']}"
