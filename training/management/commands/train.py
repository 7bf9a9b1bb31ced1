"""manage.py train: one training run on a snapshot."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from annotate.management.project_command import project_named
from training.management import options
from training.workflow import artifacts, starting


class Command(BaseCommand):
    help = "Train a reward model or a policy on a snapshot."

    def add_arguments(self, parser: CommandParser) -> None:
        options.add_common_arguments(parser)
        parser.add_argument("--recipe", required=True, choices=starting.TRAINED, help="What to train.")
        parser.add_argument("--snapshot", type=int, default=None, help="Number of the snapshot (default: the newest).")

    def handle(self, *args: Any, **given: Any) -> None:
        with options.clear_errors():
            project = project_named(given["project"])
            snapshot = options.snapshot_numbered(project, given["snapshot"])
            model = artifacts.policy_named(project, given["model"])
            config = options.settings_of(given["set"])
            run = starting.start_training(project, given["recipe"], snapshot, model, config, seed=given["seed"])
            options.carry_out_or_send(run, given["wait"])
        text = f"{run.name}: {run.get_state_display()} (run {run.pk}, snapshot {snapshot.number}, from “{model}”)"
        options.report(self, given["json"], options.facts_of(run), text)
