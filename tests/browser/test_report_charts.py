"""The charts of ratings and of the value of labels in a real browser: drawn, filtered without a reload, and saved."""

import pytest
from playwright.sync_api import expect

from annotate.models import Project
from tests.browser.conftest import Open
from tests.training.compared import bring, tournament

pytestmark = [pytest.mark.browser, pytest.mark.not_db]  # what scripts draw is the same on every database


@pytest.fixture
def compared(garden: Project) -> Project:
    bring(garden, tournament({"alpha": 0.9, "beta": 0.2, "=gamma": -1.0}, 90, votes=3))
    return garden


def _saved(page: object, card: str, kind: str) -> str:
    with page.expect_download() as download:
        page.click(f"{card} [data-picture={kind}]")
    assert download.value.suggested_filename.endswith(f".{kind}")
    return download.value.path().read_text(errors="replace")


def test_ratings_are_drawn_filtered_and_saved(compared: Project, open_as: Open) -> None:
    page = open_as("lead", "/p/garden/ratings/", viewport={"width": 390, "height": 800})
    page.wait_for_selector(".intervals .plot .errorbars, .intervals .plot .trace", state="attached")
    page.wait_for_selector(".matrix .plot .hm", state="attached")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert "<svg" in _saved(page, ".intervals", "svg")
    page.select_option("#tag", "hard")
    page.wait_for_url("**tag=hard**")
    expect(page.locator("#figures .stat:nth-child(2) .value")).to_have_text("45")
    page.wait_for_selector(".intervals .plot .trace", state="attached")


def test_the_value_of_labels_is_drawn_and_the_price_can_be_changed(compared: Project, open_as: Open) -> None:
    page = open_as("lead", "/p/garden/label-value/")
    page.wait_for_selector("[data-file=right-labels] .plot .trace", state="attached")
    assert "<svg" in _saved(page, "[data-file=right-labels]", "svg")
    page.fill("#worth", "100000")
    page.click("#advice button")
    expect(page.locator("#advice h2")).to_contain_text("Go on")
    page.wait_for_url("**worth=100000")
