"""What `manage.py up` says at its start: passwords only to who sits before it, until somebody has signed in."""

from io import StringIO
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.test import Client

from annotate.models import User
from training.workflow.demo_accounts import load_accounts
from workbench.management.commands.up import Command, is_unused

pytestmark = pytest.mark.django_db


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def accounts(tmp_path: Path, settings: LazySettings) -> Path:
    settings.HOME = tmp_path
    return tmp_path / "accounts.txt"


@pytest.fixture
def password(accounts: Path) -> str:
    load_accounts(accounts)
    return next(line.split()[1] for line in accounts.read_text().splitlines() if line.startswith("  admin"))


def greeting(output: StringIO) -> str:
    Command(stdout=output)._greet("http://127.0.0.1:8000/", is_unused())
    return output.getvalue()


def test_the_first_start_in_a_terminal_lists_the_accounts_and_where_they_are_kept(
    password: str, accounts: Path
) -> None:
    said = greeting(Terminal())
    assert password in said and str(accounts) in said
    assert "http://127.0.0.1:8000/" in said and "What to do first" in said


def test_what_is_kept_as_a_log_has_no_password(password: str, accounts: Path) -> None:
    said = greeting(StringIO())
    assert password not in said and str(accounts) in said


def test_once_somebody_has_signed_in_it_says_only_where_they_are(password: str, accounts: Path, client: Client) -> None:
    assert client.login(username="admin", password=password)
    assert User.objects.get(username="admin").last_login
    said = greeting(Terminal())
    assert password not in said and str(accounts) in said


def test_without_the_demo_it_says_how_to_get_an_account(accounts: Path) -> None:
    assert "createsuperuser" in greeting(Terminal())
