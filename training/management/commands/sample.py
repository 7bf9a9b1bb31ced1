"""manage.py sample: responses of a model to the project's prompts, scored if asked, as comparisons to judge."""

from typing import Any

from django.core.management.base import CommandParser

from annotate.management.project_command import project_named
from annotate.management.telling import TellingCommand
from training.management import options
from training.workflow import artifacts, sampling


class Command(TellingCommand):
    help = "Sample responses of a model and put them into the queue as comparisons."

    def add_arguments(self, parser: CommandParser) -> None:
        options.add_common_arguments(parser)
        parser.add_argument(
            "--prompts",
            type=options.whole_number(1, 100_000),
            default=None,
            help="How many, fresh ones first (default: all).",
        )
        parser.add_argument(
            "--reference", default="", help="Name of a second model: new is compared with old (default: none)."
        )
        parser.add_argument(
            "--reward-model", default="", help="Name of the reward model to score with (default: none)."
        )
        parser.add_argument("--samples-per-prompt", type=int, default=2, help="Responses to each prompt (default: 2).")

    def handle(self, *args: Any, **given: Any) -> None:
        with options.clear_errors():
            project = project_named(given["project"])
            config = {"samples_per_prompt": given["samples_per_prompt"], **options.settings_of(given["set"])}
            model = artifacts.policy_named(project, given["model"])
            prompts = sampling.choose_prompts(project, given["prompts"])
            old, judge = given["reference"], given["reward_model"]
            others = {
                "reference": artifacts.policy_named(project, old) if old else None,
                "reward_model": artifacts.reward_model_named(project, judge) if judge else None,
            }
            run = sampling.start_sampling(project, model, config, prompts, **others, seed=given["seed"])
            options.carry_out_or_send(run, given["wait"])
        where = f"run {run.pk}, {len(run.prompt_ids)} prompts, batch “{run.batch}”"
        text = f"{run.name}: {run.get_state_display()} ({where})"
        options.report(self, given["json"], {**options.facts_of(run), "batch": run.batch.name}, text)
