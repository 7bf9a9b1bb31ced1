"""What the documentation names is there: commands and their options, variables, addresses, modules, files, codes."""

import argparse
import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.urls import get_resolver
from drf_spectacular.generators import SchemaGenerator

from annotate.workflow.exceptions import WorkflowError
from tests.test_docs import DOCS, OURS, ROOMS, addresses, addresses_in, plain
from training.models.run import OF_ITS_OWN
from workbench import body_limit, errors

ROOT = Path(settings.BASE_DIR)
PAGES = sorted([*DOCS.glob("*.md"), ROOT / "README.md"])
SOURCES = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
# Whole commands; a row of the operator guide's table says what can be given, not what is typed.
TYPED = rf"python3? manage\.py ([^`\n]+)|`((?:{'|'.join(OURS)}) demo [^`\n]+)`"
# Known again by their `client_key`, or by the texts that they compare.
ONCE_BY_THEMSELVES = {
    "adjudications/",
    "cards/<id>/judgment/",
    "playground/<id>/messages/<n>/comparison/",
}
METHODS = ("get", "post", "put", "patch", "delete")
WHOLE_LINE = re.compile(r"\\\n\s*")


def _each(pattern: str) -> Iterator[tuple[str, Any]]:
    """Every match, with the page it stands on."""
    for page in PAGES:
        for found in re.findall(pattern, WHOLE_LINE.sub(" ", page.read_text())):
            yield page.name, found


def test_every_variable_that_is_named_is_read() -> None:
    read = "\n".join(path.read_text() for path in SOURCES)
    named = {(page, name) for page, name in _each(r"PLUMBLINE_[A-Z_]*[A-Z]")}
    assert len(named) > 20
    assert {pair for pair in named if f'"{pair[1]}"' not in read} == set()


def test_every_address_of_a_page_is_served() -> None:
    served = {plain(route).strip("/") for route in addresses(get_resolver().url_patterns)}
    named = {(page.name, one) for page in PAGES for one in addresses_in(page.read_text()) if one.startswith("p/")}
    assert len(named) > 60
    assert {pair for pair in named if pair[1].partition("?")[0].strip("/") not in served} == set()


@pytest.mark.parametrize("command", OURS)
def test_every_option_in_a_row_of_the_table_is_taken(command: str) -> None:
    guide = (DOCS / "operator-guide.md").read_text()
    row = next(line for line in guide.splitlines() if re.match(rf"\| `{command}\b", line))
    parser = load_command_class(get_commands()[command], command).create_parser("manage.py", command)
    taken = {name for action in parser._actions for name in action.option_strings}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", row)) - taken == set()


def test_every_command_line_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(parser: argparse.ArgumentParser, message: str) -> NoReturn:
        raise AssertionError(message)

    monkeypatch.setattr(argparse.ArgumentParser, "error", refuse)
    lines = [(page, "".join(found)) for page, found in _each(TYPED) if not found[0].startswith("COMMAND")]
    assert len(lines) > 20
    for page, line in lines:
        name, *words = shlex.split(line, comments=True)
        assert name in get_commands(), f"{page}: {line}"
        if name in OURS and words:  # without any it is the command that is spoken of, not a line to type
            load_command_class(get_commands()[name], name).create_parser("manage.py", name).parse_args(words)


def test_every_module_that_is_run_is_there() -> None:
    named = {found for found in _each(r"python -m ((?:training|benchmarks|tests|annotate)[\w.]*)")}
    assert len(named) > 10
    for page, module in named:
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), f"{page}: python -m {module}"


def test_every_option_of_a_benchmark_is_taken() -> None:
    lines = {found for found in _each(r"python -m benchmarks\.(\w+ [^`\n]*)`")}
    assert len(lines) > 5
    for page, line in lines:
        module, *words = line.split()
        source = (ROOT / "benchmarks" / f"{module}.py").read_text()
        for option in re.findall(r"--[a-z-]+", " ".join(words)):
            assert f'"{option}"' in source, f"{page}: {line}"


def test_every_file_of_ours_that_is_named_is_there() -> None:
    """By its path, or in a table of one room by its name alone."""
    known = [
        path.relative_to(ROOT).as_posix()
        for room in (*ROOMS, "tests", "benchmarks", "static")
        for path in (ROOT / room).rglob("*")
    ]
    named = {found for found in _each(r"`((?:[\w.]+/)*\w+\.(?:py|js|yaml))`")}
    assert len(named) > 150
    assert {pair for pair in named if not any(f"/{path}".endswith(f"/{pair[1]}") for path in known)} == set()


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_links_to_a_heading_find_it() -> None:
    anchors = {page.name: {_anchor(one) for one in re.findall(r"(?m)^#+ (.*)$", page.read_text())} for page in PAGES}
    for page, (target, heading) in _each(r"\]\(([^)#:]*)#([^)]+)\)"):
        assert heading in anchors[Path(target).name or page], f"{page}: {target}#{heading}"


def rows_of_the_api() -> dict[str, list[str]]:
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in (DOCS / "api.md").read_text().splitlines()]
    return {cells[0].strip(" `"): [cell.strip() for cell in cells] for cells in rows if len(cells) == 4}


def _as_documented(route: str) -> str:
    route = route.removeprefix("/api/v1/").replace("{slug}", "<project>").replace("{number}", "<n>")
    return re.sub(r"\{\w+\}", "<id>", route.replace("{name}", "<name>"))


def test_every_method_and_field_of_the_api_is_documented() -> None:
    """Against the schema, which is made of the views and of what they read a body with."""
    schema = SchemaGenerator().get_schema(request=None, public=True)
    rows, bodies = rows_of_the_api(), schema["components"]["schemas"]
    paths = {_as_documented(path): ways for path, ways in schema["paths"].items() if "/schema/" not in path}
    assert set(paths) == set(rows) - {"address", "---"}
    for path, ways in paths.items():
        _address, methods, _who, what = rows[path]
        assert set(methods.split(", ")) == {way.upper() for way in ways if way in METHODS}, path
        for name in _names_in(ways, bodies):
            assert re.search(rf"[\"`?]{name}\b", what), f"{path} takes {name}"


def test_addresses_that_take_an_idempotency_key_are_those_of_the_documentation() -> None:
    section = (DOCS / "api.md").read_text().partition("## Sent again")[2].partition("## ")[0]
    rows = [line.rpartition("| `")[2] for line in section.splitlines() if line.startswith("| ")]
    documented = {f"projects/<project>/{one}" for row in rows for one in re.findall(r"[\w<>/-]+/", row)}
    schema = SchemaGenerator().get_schema(request=None, public=True)
    ways = {
        (_as_documented(path), way): {one["name"] for one in asked.get("parameters", []) if one["in"] == "header"}
        for path, found in schema["paths"].items()
        for way, asked in found.items()
        if way in METHODS
    }
    assert {path for (path, way), names in ways.items() if "Idempotency-Key" in names} == documented
    assert {way for (_path, way), names in ways.items() if names} == {"post"}
    makes = {_as_documented(path) for path, found in schema["paths"].items() if "201" in _answers(found)}
    assert {path.removeprefix("projects/<project>/") for path in makes - documented} == ONCE_BY_THEMSELVES
    replayed = schema["paths"]["/api/v1/projects/{slug}/runs/"]["post"]["responses"]["201"]["headers"]
    assert set(replayed) == {"Idempotent-Replayed"}


def _answers(ways: dict[str, Any]) -> dict[str, Any]:
    return ways.get("post", {}).get("responses", {})


def _names_in(ways: dict[str, Any], bodies: dict[str, Any]) -> set[str]:
    """Fields of the body, and of the query but for those of every list."""
    body = ways.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    fields = bodies[body["$ref"].rpartition("/")[2]]["properties"] if "$ref" in body else {}
    asked = {one["name"] for one in ways.get("get", {}).get("parameters", []) if one["in"] == "query"}
    return {*fields, *asked} - {"limit", "offset"}


def _codes_of_failures() -> set[str]:
    """What ModelError is raised with."""
    trees = (ast.parse(path.read_text()) for path in (ROOT / "training" / "ml").glob("*.py"))
    calls = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args)
    first = (call.args[0] for call in calls if ast.unparse(call.func).endswith("ModelError"))
    return {argument.value for argument in first if isinstance(argument, ast.Constant)}


def test_codes_of_failed_runs_are_those_of_the_code() -> None:
    table = (DOCS / "errors.md").read_text().partition("## Runs that failed")[2].partition("## ")[0]
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("| `")]
    documented = {code: row[-1].strip() for row in rows for code in re.findall(r"`(\w+)`", row[0])}
    assert set(documented) == _codes_of_failures()
    assert {documented[code] for code in OF_ITS_OWN} == {"no"}


def _kinds(of: type) -> Iterator[type]:
    for kind in of.__subclasses__():
        yield kind
        yield from _kinds(kind)


def test_codes_of_refused_requests_are_those_of_the_code() -> None:
    assert get_resolver().url_patterns and body_limit and errors  # all that defines one is loaded
    table = (DOCS / "errors.md").read_text().partition("## Requests and commands")[2]
    documented = {}
    for line in table.splitlines():
        if status := re.match(r"\| (\d{3}(?:, \d{3})*)", line):
            documented |= dict.fromkeys(re.findall(r"`([A-Z]\w+)`", line), status[1])
    kinds = {kind.__name__: str(kind.status) for kind in _kinds(WorkflowError) if kind.__module__.startswith(ROOMS)}
    assert set(documented) == set(kinds)
    assert {name for name, status in kinds.items() if status not in documented[name]} == set()
