"""The agreement page in a real browser: its charts, what they say under the pointer, and what is taken from them."""

import csv
from pathlib import Path

import pytest
from playwright.sync_api import expect

from annotate.models import Project, Role
from annotate.workflow.projects import set_member
from tests.browser.conftest import Open
from tests.factories import judge, make_user

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
PATH = "/p/garden/agreement/"


@pytest.fixture
def disputed(garden: Project) -> Project:
    """Two more people on the same thirty comparisons: ben answers as ann, eve turns every second answer round."""
    garden.comparisons.update(overlap=3)
    for name, flips in (("ben", 0), ("eve", 2)):
        person = make_user(name)
        set_member(project=garden, user=person, role=Role.ANNOTATOR)
        for number in range(30):
            choice = "b" if number % 3 else "a"
            judge(garden, person, {"a": "b", "b": "a"}[choice] if flips and number % flips else choice)
    return garden


def test_charts_are_drawn_asked_and_taken_away(open_as: Open, disputed: Project) -> None:
    page = open_as("lead", PATH)
    page.get_by_role("navigation", name="By").get_by_role("link", name="Annotator", exact=True).click()
    card = page.locator(".intervals")
    expect(card.locator(".scatterlayer path.point")).to_have_count(6)
    card.locator(".scatterlayer path.point").first.hover(force=True)
    expect(card.locator(".hoverlayer .hovertext")).to_contain_text("n = 15")
    expect(page.locator(".matrix .heatmaplayer image")).to_have_count(1)
    for shown in (".intervals", ".matrix"):
        with page.expect_download() as picture:
            page.locator(shown).get_by_role("button", name="Download as SVG").click()
        assert picture.value.suggested_filename.startswith("agreement-garden-")
        assert Path(picture.value.path()).read_bytes().startswith(b"<svg")
    with page.expect_download() as picture:
        card.get_by_role("button", name="Download as PNG").click()
    assert Path(picture.value.path()).read_bytes().startswith(b"\x89PNG")
    with page.expect_download() as table:
        page.get_by_role("link", name="CSV").first.click()
    rows = list(csv.DictReader(Path(table.value.path()).read_text().splitlines()))
    assert sorted(row["annotator"] for row in rows) == ["ann", "ben", "eve"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it_and_a_disputed_comparison_opens(open_as: Open, disputed: Project, scheme: str) -> None:
    page = open_as("lead", PATH, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    expect(page.locator(".intervals .scatterlayer path.point").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.get_by_role("link", name="Comparison ").first.click()
    page.wait_for_url("**/comparisons/*/")


def test_without_javascript_the_numbers_are_tables_and_no_button_is_dead(open_as: Open, disputed: Project) -> None:
    page = open_as("lead", PATH, java_script_enabled=False)
    expect(page.locator(".intervals tbody tr")).to_have_count(1)
    expect(page.locator(".pictures").first).to_be_hidden()
