"""Commands for people and programs: with `--json` an error, too, is one JSON object on standard output."""

import json
import sys
from argparse import ArgumentParser
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotate.workflow.error_body import body_of
from annotate.workflow.exceptions import UploadRejected, WorkflowError

WRONG_USAGE = 2  # as argparse ends


class Refused(CommandError):
    """An error with what a program wants to know of it, `body`: {"code", "detail", "hint", ...}."""

    def __init__(self, text: str, body: dict[str, Any]) -> None:
        super().__init__(text)
        self.body = body


def refused(error: WorkflowError, where: str = "") -> Refused:
    """For people in one line, or a line for each mistake of a file, which come last; `where`: the file."""
    said = [f"{error.message} {error.hint}".strip()]
    if isinstance(error, UploadRejected):
        said += map(str, error.errors)
    return Refused(where + "\n".join(said), body_of(error))


class TellingCommand(BaseCommand):
    """The exit code is not zero either way: 2 for what the command line itself has wrong, otherwise 1."""

    tells_json = False

    def run_from_argv(self, argv: list[str]) -> None:
        self.tells_json = "--json" in argv[2:]
        super().run_from_argv(argv)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        if self.tells_json:
            _tell_wrong_usage(self, parser)
        return parser

    def execute(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute(*args, **options)
        except CommandError as error:
            if not self.tells_json or options.get("traceback"):
                raise
            plain = {"code": "refused", "detail": str(error), "hint": ""}
            self.tell(error.body if isinstance(error, Refused) else plain, error.returncode)

    def tell(self, body: dict[str, Any], code: int) -> NoReturn:
        self.stdout.write(json.dumps({"error": body}, ensure_ascii=False))
        sys.exit(code)


def _tell_wrong_usage(command: TellingCommand, parser: ArgumentParser) -> None:
    def error(message: str) -> NoReturn:
        usage = " ".join(parser.format_usage().split())
        command.tell({"code": "invalid", "detail": message, "hint": usage}, WRONG_USAGE)

    parser.error = error  # type: ignore[method-assign]
