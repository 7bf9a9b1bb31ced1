"""`manage.py doctor`: is everything there that the workbench needs, and if not, what to do."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from workbench import health


class Command(BaseCommand):
    help = "Checks Python, database, broker, worker, disk, model, GPU and files; one line each, with the mend."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print the findings as a JSON list.")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = health.examine()
        if options["json"]:
            self.stdout.write(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=1))
        else:
            for finding in findings:
                self.stdout.write(_line(finding))
        failures = sum(finding.state == "fail" for finding in findings)
        if failures:
            raise CommandError(f"{failures} {'check' if failures == 1 else 'checks'} failed.")


def _line(finding: health.Finding) -> str:
    line = f"{finding.state:4}  {finding.name:12}  {finding.message}"
    return f"{line}  →  {finding.mend}" if finding.mend else line
