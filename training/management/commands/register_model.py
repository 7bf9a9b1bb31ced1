"""manage.py register_model: a base model of the project, by its place."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from annotate.management.project_command import project_named
from annotate.management.telling import TellingCommand
from training.forms import RegisterModelForm
from training.management import options
from training.workflow.artifacts import register_base


class Command(TellingCommand):
    help = "Register a base or reward model: a folder of safetensors, a GGUF file, or a hub id. Nothing is loaded."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="Short name of the project.")
        parser.add_argument("location", help="A folder or GGUF file on the worker's disk, or a hub id (owner/name).")
        parser.add_argument("--name", required=True, help="What it is called in the project.")
        parser.add_argument("--encoder", action="store_true", help="Of a hub id: it is an encoder. A folder tells.")
        parser.add_argument("--reward", action="store_true", help="Of a hub id: it is a reward model. A folder tells.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *args: Any, **given: Any) -> None:
        form = RegisterModelForm({name: given[name] for name in ("name", "location", "encoder", "reward")})
        if not form.is_valid():
            raise CommandError(" ".join(f"{name}: {' '.join(said)}" for name, said in form.errors.items()))
        with options.clear_errors():
            model = register_base(project_named(given["project"]), **form.cleaned_data)
        facts = {"model": model.name, "id": model.pk, "task": model.task, "location": model.location}
        text = f"“{model}” is registered: {model.get_task_display()}, {model.location}"
        options.report(self, given["json"], facts, text)
