"""What the project commands share: the PROJECT argument, `--json`, and errors in one form."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from annotate.management.telling import TellingCommand, refused
from annotate.models import Project, User
from annotate.workflow.exceptions import WorkflowError


class ProjectCommand(TellingCommand):
    """A command over one project: subclasses write `act`, which returns what `--json` prints."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="short name (slug) of the project")
        parser.add_argument("--json", action="store_true", help="print the result as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        project = self.find(options.pop("project"), **options)
        try:
            result = self.act(project, **options)
        except WorkflowError as error:
            raise refused(error) from error
        self.stdout.write(
            json.dumps(result, ensure_ascii=False, indent=2) if options["json"] else self.describe(result)
        )

    def find(self, slug: str, **options: Any) -> Project:
        return project_named(slug)

    def act(self, project: Project, **options: Any) -> dict[str, Any]:
        raise AssertionError("a project command defines act()")

    def describe(self, result: dict[str, Any]) -> str:
        return "\n".join(f"{name}: {value}" for name, value in result.items())


def project_named(slug: str) -> Project:
    if project := Project.objects.filter(slug=slug).first():
        return project
    known = ", ".join(Project.objects.values_list("slug", flat=True)) or _("none")
    raise CommandError(_("There is no project “%(slug)s”. There are: %(known)s.") % {"slug": slug, "known": known})


def named_user(username: str | None) -> User | None:
    """The account an action is recorded under; None for none given."""
    if not username:
        return None
    user = User.objects.filter(username=username).first()
    if user is None:
        raise CommandError(f"There is no account {username!r}.")
    return user
