"""manage.py export_model: a model as a plain Hugging Face directory, and to a hub if that is asked for."""

from typing import Any

from django.core.management.base import CommandParser

from annotate.management.project_command import named_user, project_named
from annotate.management.telling import TellingCommand
from training.management import options
from training.workflow.artifacts import model_named
from training.workflow.exporting import folder_of_export, start_export


class Command(TellingCommand):
    help = "Write a model as a plain Hugging Face directory with a model card; with --push also to a hub."

    def add_arguments(self, parser: CommandParser) -> None:
        options.add_model_arguments(parser)
        parser.add_argument("--folder", required=True, help="Name of the directory; it must not exist yet.")
        parser.add_argument("--form", default="merged", choices=["merged", "adapter"], help="Default: merged.")
        parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
        parser.add_argument("--push", default="", metavar="OWNER/NAME", help="Push to the hub; takes HF_TOKEN.")
        parser.add_argument("--public", action="store_true", help="Everybody sees it on the hub (default: private).")
        parser.add_argument(
            "--wait", action="store_true", help="Carry it out here instead of leaving it to the worker."
        )

    def handle(self, *args: Any, **given: Any) -> None:
        config = {name: given[name] for name in ("folder", "form", "dtype")}
        config |= {"repository": given["push"], "private": not given["public"]}
        with options.clear_errors():
            model = model_named(project_named(given["project"]), given["model"])
            run = start_export(model, config, actor=named_user(given["by"]))
            options.carry_out_or_send(run, given["wait"])
        text = f"{run.name}: {run.get_state_display()} (run {run.pk}, {folder_of_export(run)})"
        options.report(self, given["json"], options.facts_of(run), text)
