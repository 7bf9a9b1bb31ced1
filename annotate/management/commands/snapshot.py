"""`snapshot PROJECT`: freezes the judgments into a preference dataset."""

from argparse import ArgumentParser, BooleanOptionalAction
from typing import Any

from annotate.management.project_command import ProjectCommand, named_user
from annotate.models import Aggregation, Project
from annotate.workflow.snapshots import freeze


class Command(ProjectCommand):
    help = "Freezes the judgments of a project into a snapshot; the same state gives the same snapshot again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--aggregation", choices=Aggregation.values, default=Aggregation.MAJORITY.value)
        parser.add_argument("--test-share", type=float, default=0.2, help="share of the prompts held out (0 to 0.9)")
        parser.add_argument("--seed", type=int, default=0, help="seed of the split")
        parser.add_argument(
            "--adjudicated-first",
            action=BooleanOptionalAction,
            help="final words decide where there are any, bad items are left out, the aggregation decides the rest; "
            "default: once something is adjudicated",
        )
        parser.add_argument(
            "--annotator-share",
            type=float,
            default=0,
            help="share of the annotators held out of the training split (0 to 0.5); the test split is as without it",
        )
        # --user is the name it had before.
        parser.add_argument("--by", "--user", dest="by", help="account the snapshot is recorded under")

    def act(self, project: Project, **options: Any) -> dict[str, Any]:
        snapshot, created = freeze(
            project=project,
            aggregation=options["aggregation"],
            test_share=options["test_share"],
            seed=options["seed"],
            adjudicated_first=options["adjudicated_first"],
            annotator_share=options["annotator_share"],
            actor=named_user(options["by"]),
        )
        return {
            "number": snapshot.number,
            "created": created,
            "content_hash": snapshot.content_hash,
            "guideline_versions": snapshot.guideline_versions,
            "counts": snapshot.counts,
            "folder": snapshot.folder,
        }
