"""A bench in a real browser: its plot by another cost, its table in another order, and a phone in the dark."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from annotate.models import Project
from tests.browser.conftest import Open
from tests.training.workflow.products import end
from tests.training.workflow.test_benches import finish, run_of, share
from training.models import Artifact, Bench, RunState
from training.workflow.benches import start_bench

# What scripts and styles make of a page is the same on every database; what it says, the tests of its view look at.
pytestmark = [pytest.mark.browser, pytest.mark.not_db, pytest.mark.timeout(120)]
ADDRESS = "/p/garden/benches/1/"


@pytest.fixture
def bench(garden: Project) -> Bench:
    """Three methods are done, one has failed, the rest wait."""
    base, snapshot = Artifact.objects.get(name="base"), garden.snapshots.get()
    made = start_bench(garden, "reward", snapshot, base, {"epochs": 2})
    for method, accuracy, seconds in (("lora", 0.61, 50.0), ("ia3", 0.83, 20.0), ("full", 0.7, 300.0)):
        finish(run_of(made, method), share(accuracy), seconds=seconds)
    end(run_of(made, "prefix"), RunState.FAILED)
    return made


def _order(page: Page) -> list[str]:
    return page.locator("#cells tr[data-name] th a").all_inner_texts()


@pytest.mark.parametrize("look", [{}, {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}])
def test_quality_is_drawn_against_the_cost_that_one_chooses(open_as: Open, bench: Bench, look: dict[str, Any]) -> None:
    page = open_as("lead", ADDRESS, **look)
    expect(page.locator(".bench-plot path.point")).to_have_count(3)
    expect(page.locator(".bench-plot path.yerror")).to_have_count(3)
    title = page.locator(".bench-plot .xtitle")
    before = title.text_content()
    page.select_option("#cost", "seconds")
    expect(title).not_to_have_text(before or "")
    with page.expect_download() as download:
        page.click(".bench-plot [data-picture=svg]")
    assert download.value.suggested_filename == "bench-1.svg" and "<svg" in download.value.path().read_text()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_the_table_is_sorted_by_a_click_and_says_what_is_not_done(open_as: Open, bench: Bench) -> None:
    page = open_as("lead", ADDRESS)
    for column, way, order in (
        ("accuracy", "descending", ["(IA)³", "Full", "LoRA"]),
        ("seconds", "ascending", ["(IA)³", "LoRA", "Full"]),
    ):
        page.locator(f"#cells thead a[href='?sort={column}']").click()
        page.wait_for_url(f"**sort={column}")
        assert [name.split()[0] for name in _order(page)] == order
        expect(page.locator(f"#cells th[aria-sort={way}] a")).to_have_attribute("href", f"?sort={column}")
    failed = page.locator("#cells tr", has=page.locator("th", has_text="Prefix"))
    expect(failed.locator(".badge")).to_be_visible()
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel the bench").click()
    page.get_by_role("button", name="Run again what is missing").click()
    expect(page.get_by_role("button", name="Cancel the bench")).to_be_visible()
