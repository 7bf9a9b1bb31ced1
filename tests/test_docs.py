"""The documentation is complete: every command, setting, page and API address of ours stands in it."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import BaseCommand, get_commands, load_command_class
from django.db.backends.postgresql.features import DatabaseFeatures
from django.urls import URLPattern, URLResolver, get_resolver

from workbench.checks import SHORTEST_HEARTBEAT_TIMEOUT, SHORTEST_SECRET_KEY

DOCS = settings.BASE_DIR / "docs"
ROOMS = ("annotate", "training", "workbench")
FOR_MANY = {"--set", "--wait", "--json", "-h"}
# Addresses of Django and its parts, and POSTs behind the buttons of a documented page.
OTHERS = ("admin/", "i18n/", "accounts/logout", "accounts/password/done", "static/")
BEHIND_A_BUTTON = re.compile(
    r"/(say|stop|score|send|reveal|end|rule)/$|"
    r"/(next|submit|skip|undo|read|publish|upload|create|cancel|resume|pin|name|priority|refresh|freeze|add|change|remove|preview|"
    r"progress\.json|curves\.<[a-z_:]+>|log\.txt|<[a-z_:]+>\.<[a-z_:]+>)/?$|/judge/|/members/|/guideline/draft/"
)


def _text(*names: str) -> str:
    return "\n".join((DOCS / name).read_text() for name in names)


def addresses(patterns: list, prefix: str = "") -> list[str]:
    found = []
    for entry in patterns:
        route = prefix + str(entry.pattern)
        found += addresses(entry.url_patterns, route) if isinstance(entry, URLResolver) else [route]
    return found


def plain(route: str) -> str:
    """Converters as the documentation writes them: <slug:slug> is <project>, numbers are numbers."""
    return re.sub(r"<(?:\w+:)?\w+>", "*", route)


def addresses_in(text: str) -> set[str]:
    text = re.sub(r"<project>|<id>|<n>|<name>", "*", text)
    text = re.sub(r"/(v)?\d+(\.\.v\d+)?(?=/)", lambda m: "/v*..v*" if m[2] else f"/{m[1] or ''}*", text)
    return {match.strip("/") for match in re.findall(r"`([^`\s]+)`", text)}


OURS = sorted(name for name, app in get_commands().items() if str(app).split(".")[0] in ROOMS)


@pytest.mark.parametrize("command", OURS)
def test_every_command_is_documented(command: str) -> None:
    assert f"`{command} " in _text("operator-guide.md") or f"`{command}`" in _text("operator-guide.md")


@pytest.mark.parametrize("command", OURS)
def test_every_option_of_a_command_is_documented(command: str) -> None:
    """In its own row; what several take, and the recipe's settings of `estimate`, in the text below the table."""
    guide = _text("operator-guide.md")
    row = next(line for line in guide.splitlines() if re.match(rf"\| `{command}\b", line))
    known = guide if command == "estimate" else row
    parser = load_command_class(get_commands()[command], command).create_parser("manage.py", command)
    theirs = {name for action in BaseCommand().create_parser("", "")._actions for name in action.option_strings}
    ours = [set(action.option_strings) for action in parser._actions if action.option_strings]
    documented = (names for names in ours if not names & (theirs | FOR_MANY))
    assert all(any(name in known for name in names) for names in documented), row
    assert ("*json*" in row) == any("--json" in names for names in ours)


def test_minimums_below_which_every_command_refuses_are_documented() -> None:
    rows = {line.split("`")[1]: line for line in _text("operator-guide.md").splitlines() if line.startswith("| `")}
    assert f"from {SHORTEST_HEARTBEAT_TIMEOUT} on" in rows["PLUMBLINE_HEARTBEAT_TIMEOUT"]
    assert f"{SHORTEST_SECRET_KEY} characters" in rows["PLUMBLINE_SECRET_KEY"]
    [least] = DatabaseFeatures.minimum_database_version
    assert f"PostgreSQL {least} or newer" in rows["DATABASE_URL"]


def test_every_environment_variable_is_documented() -> None:
    pattern = re.compile(r"""(?:environ(?:\.get\(|\[)|_flag\(|_listed\(|_whole_number\(|env=)\s*"([A-Z][A-Z_]+)""")
    sources = [path.read_text() for room in ROOMS for path in Path(settings.BASE_DIR / room).rglob("*.py")]
    names = {name for source in sources for name in pattern.findall(source)} - {"DJANGO_SETTINGS_MODULE"}
    assert "PLUMBLINE_HOME" in names
    missing = {name for name in names if f"`{name}`" not in _text("operator-guide.md")}
    assert not missing


def test_every_page_is_documented() -> None:
    routes = [route for route in addresses(get_resolver().url_patterns) if not route.startswith(("api/", *OTHERS))]
    pages = {plain(route).strip("/") for route in routes if not BEHIND_A_BUTTON.search("/" + route)}
    known = addresses_in(_text("user-guide.md", "operator-guide.md"))
    assert {page for page in pages if page} - known == set()


def test_every_api_address_is_documented() -> None:
    routes = [route for route in addresses(get_resolver().url_patterns) if route.startswith("api/v1/")]
    routes = [route.removeprefix("api/v1/") for route in routes]
    known = addresses_in(_text("api.md").replace("/api/v1/", ""))
    assert {plain(route).strip("/") for route in routes} - known == set()


def test_every_required_package_has_its_reason() -> None:
    table = _text("architecture.md").partition("## Libraries")[2].lower()
    lines = (settings.BASE_DIR / "requirements.txt").read_text().splitlines()
    packages = [re.split(r"[\[=;]", line)[0].lower() for line in lines if line and not line.startswith("#")]
    missing = [
        name
        for name in packages
        if not re.search(rf"\b{name.replace('djangorestframework', 'rest framework')}\b", table)
    ]
    assert len(packages) > 20 and not missing


def test_links_between_documents_lead_somewhere() -> None:
    for document in [*DOCS.glob("*.md"), settings.BASE_DIR / "README.md"]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_the_url_walk_finds_pages() -> None:
    assert any(isinstance(entry, URLPattern) for entry in get_resolver().url_patterns)
    assert len(addresses(get_resolver().url_patterns)) > 40
