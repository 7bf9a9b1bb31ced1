"""manage.py round: (demonstrations -> SFT ->) reward model -> policy -> samples -> comparisons."""

from typing import Any

from django.core.management.base import CommandParser

from annotate.management.project_command import project_named
from annotate.management.telling import TellingCommand
from training.management import options
from training.tasks import dispatch_queued
from training.workflow import artifacts, rounds, starting


class Command(TellingCommand):
    help = (
        "Start a training round on a snapshot. Settings are named by stage: --set reward.epochs=2. Without "
        "--set STAGE.learning_rate=… the learning rate of a stage is the customary one of its adapter."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        options.add_common_arguments(parser)
        parser.add_argument("--snapshot", type=int, default=None, help="Number of the snapshot (default: the newest).")
        parser.add_argument("--policy", default="dpo", choices=starting.POLICIES, help="Its method (default: dpo).")
        parser.add_argument("--demonstrations", default="", help="Name of a set to fine-tune on first (default: none).")
        parser.add_argument(
            "--prompts",
            type=options.whole_number(1, 10_000),
            default=rounds.FRESH_PROMPTS,
            help=f"Prompts to sample at the end (default: {rounds.FRESH_PROMPTS}).",
        )
        parser.add_argument(
            "--no-score-samples",
            dest="score_samples",
            action="store_false",
            help="Leave the samples without a score of the round's reward model.",
        )

    def handle(self, *args: Any, **given: Any) -> None:
        with options.clear_errors():
            project = project_named(given["project"])
            snapshot = options.snapshot_numbered(project, given["snapshot"])
            policy = artifacts.policy_named(project, given["model"])
            configs = options.settings_of(given["set"])
            named = given["demonstrations"]
            asked = {
                "policy": given["policy"],
                "demonstrations": options.demonstrations_named(project, named) if named else None,
                "prompts": given["prompts"],
                "score_samples": given["score_samples"],
                "seed": given["seed"],
            }
            round = rounds.start_round(project, snapshot, policy, configs, **asked)
            stages = list(round.runs.order_by("stage"))
            if given["wait"]:
                for run in stages:
                    options.carry_out(run)
            else:
                dispatch_queued()
        text = "\n".join([str(round), *(f"  {run.name}: {run.get_state_display()} (run {run.pk})" for run in stages)])
        facts = {"round": round.number, "runs": [options.facts_of(run) for run in stages]}
        options.report(self, given["json"], facts, text)
