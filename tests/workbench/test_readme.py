"""The README names what is there: accounts, files, targets of make."""

import re

import pytest
from django.conf import settings

from training.workflow.demo_accounts import CAST

pytestmark = pytest.mark.not_db

README = (settings.BASE_DIR / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([\w./-]+)\)", README))))
def test_every_linked_file_exists(target: str) -> None:
    assert (settings.BASE_DIR / target).is_file()


def test_every_account_of_the_demo_is_in_the_table() -> None:
    assert all(f"`{member.username}`" in README for member in CAST)


def test_every_make_target_it_names_exists() -> None:
    makefile = (settings.BASE_DIR / "Makefile").read_text()
    named = set(re.findall(r"\bmake (?!PYTHON)([a-z]+)\b", README))
    assert {"demo", "test"} <= named
    assert all(re.search(rf"^{name}:", makefile, re.MULTILINE) for name in named)
