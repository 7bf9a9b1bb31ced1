"""manage.py train: one training run, of any recipe, or one like an earlier run."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from annotate.management.project_command import project_named
from annotate.management.telling import TellingCommand
from annotate.models import Project
from training.management import options
from training.models import Run
from training.workflow import artifacts, starting
from training.workflow.cloning import clone


class Command(TellingCommand):
    help = (
        "Train a reward model or a policy on a snapshot, or a policy on demonstrations (sft) or single votes (kto). "
        "Without --set learning_rate=… the learning rate is the customary one of the adapter: --set adapter=full is "
        "trained at a tenth of LoRA's."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        options.add_common_arguments(parser, seed=None)
        parser.add_argument(
            "--recipe", choices=starting.TRAINED, default="", help="What to train (with --from: its own)."
        )
        parser.add_argument(
            "--from", type=int, dest="source", metavar="RUN", help="Begin as that run did; --set changes it."
        )
        options.add_queue_arguments(parser)
        parser.add_argument("--snapshot", type=int, default=None, help="Number of the snapshot (default: the newest).")
        parser.add_argument("--demonstrations", default="", help="Name of the set, for sft (default: the newest).")
        parser.add_argument("--feedback", default="", help="Name of the set, for kto (default: it takes a snapshot).")
        parser.add_argument("--reward-model", default="", help="Its name, for ppo, rloo, grpo (default: the newest).")
        parser.add_argument("--name", default="", help="Of the run and its model (default: what tells it from others).")

    def handle(self, *args: Any, **given: Any) -> None:
        with options.clear_errors():
            project = project_named(given["project"])
            source = options.run_numbered(project, given["source"]) if given["source"] is not None else None
            if source is None and not given["recipe"]:
                raise CommandError(_("Say what to train with --recipe, or --from RUN to begin like an earlier run."))
            inputs = self.named(source, given) if source else self.newest(project, given)
            inputs |= {"config": options.settings_of(given["set"]), "name": given["name"], **options.waits_as(given)}
            if source:
                run = clone(source, recipe=given["recipe"], **inputs)
            else:
                run = starting.start_training(project, given["recipe"], **inputs)
            options.carry_out_or_send(run, given["wait"])
        text = f"{run.name}: {run.get_state_display()} (run {run.pk}, from “{run.model}”)"
        options.report(self, given["json"], options.facts_of(run), text)

    def named(self, source: Run, given: dict[str, Any]) -> dict[str, Any]:
        """Only what was said: the rest is the earlier run's."""
        project = source.project
        inputs: dict[str, Any] = {"seed": given["seed"]}
        if given["snapshot"] is not None:
            inputs["snapshot"] = options.snapshot_numbered(project, given["snapshot"])
        if given["demonstrations"]:
            inputs["demonstrations"] = options.demonstrations_named(project, given["demonstrations"])
        if given["feedback"]:
            inputs["feedback"] = options.feedback_named(project, given["feedback"])
        if given["reward_model"]:
            inputs["reward_model"] = artifacts.reward_model_named(project, given["reward_model"])
        if given["model"]:
            inputs["model"] = artifacts.start_named(project, source.recipe, given["model"])
        return inputs

    def newest(self, project: Project, given: dict[str, Any]) -> dict[str, Any]:
        """The newest of what the recipe needs, where none is named."""
        recipe = given["recipe"]
        inputs: dict[str, Any] = {"snapshot": None, "seed": given["seed"] or 0}
        if recipe == "sft" or given["demonstrations"]:
            inputs["demonstrations"] = options.demonstrations_named(project, given["demonstrations"])
        if given["feedback"]:
            inputs["feedback"] = options.feedback_named(project, given["feedback"])
        if (recipe != "sft" and not given["feedback"]) or given["snapshot"] is not None:
            inputs["snapshot"] = options.snapshot_numbered(project, given["snapshot"])
        if recipe in starting.REWARDED or given["reward_model"]:
            inputs["reward_model"] = artifacts.reward_model_named(project, given["reward_model"])
        inputs["model"] = artifacts.start_named(project, recipe, given["model"])
        return inputs
