"""`manage.py demo`: accounts, project and model of the demo; running it again changes nothing."""

import shutil
import subprocess
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from annotate.models import Project, User
from annotate.workflow.exceptions import WorkflowError
from training.tasks import dispatch_queued
from training.workflow.demo_accounts import load_accounts
from training.workflow.demo_project import demo_model_file, has_copy, load_model, load_project, queue_first_samples
from training.workflow.disk import DEMO_COPY


class Command(BaseCommand):
    help = "Loads the demo: accounts, project with prompts and guideline, the demo model and its first samples."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--no-sampling", action="store_true", help="Accounts and project only; needs no model.")
        parser.add_argument("--before-up", action="store_true", help="`up` follows and lists the accounts itself.")

    def handle(self, *args: Any, no_sampling: bool, before_up: bool = False, **options: Any) -> None:
        try:
            # Before anything is written: a missing model should not leave half a demo.
            gguf = None if no_sampling else demo_model_file()
            call_command("migrate", interactive=False, verbosity=0)
            path = settings.HOME / "accounts.txt"
            accounts = load_accounts(path)
            project, made = load_project(accounts)
            state = "is ready" if made else "is there already"
            self._say(f"Project “{project.name}” {state}: {project.prompts.count()} prompts.")
            if gguf:
                self._load_model(project, gguf, accounts["lead"])
        except WorkflowError as error:
            raise CommandError(f"{error.message} {error.hint}".strip()) from error
        if not before_up:
            self._say(path.read_text().rstrip())

    def _load_model(self, project: Project, gguf: Path, lead: User) -> None:
        artifact = load_model(project, gguf)
        self._convert(gguf)
        if run := queue_first_samples(project, artifact, lead):
            dispatch_queued()
            self._say(f"Run {run.pk}, “{run.name}”, is queued: the worker of `manage.py up` takes it up.")

    def _convert(self, gguf: Path) -> None:
        """In a child, since this process never loads torch."""
        cache = Path(settings.MODELS_DIR)
        if has_copy(cache, gguf.stem):
            return
        self._require_space(cache)
        self._say(f"Converting {gguf.name} to safetensors in {cache}, once; it takes about 40 s …")
        began, log = time.monotonic(), settings.HOME / "logs" / "convert.log"
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log.open("w") as output:
            command = [sys.executable, "-m", "training.ml.convert", str(gguf), str(cache)]
            done = subprocess.run(command, cwd=settings.BASE_DIR, stdout=output, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            last = (log.read_text(errors="replace").strip().splitlines() or ["no message"])[-1]
            raise CommandError(f"The demo model could not be converted: {last} (log: {log})")
        if not has_copy(cache, gguf.stem):
            raise CommandError(f"The conversion has left no copy of the model in {cache} (log: {log})")
        self._say(f"Converted in {time.monotonic() - began:.0f} s.")

    def _require_space(self, cache: Path) -> None:
        cache.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(cache).free
        if free < DEMO_COPY:
            raise CommandError(
                f"Too little disk space for {cache}: {free / 1e9:.2f} GB are free, the copy of the model needs "
                f"{DEMO_COPY / 1e9:.1f} GB. Make room, or set PLUMBLINE_MODELS_DIR to a folder on another disk."
            )

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
