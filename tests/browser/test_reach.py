"""What a page holds can be reached: on a phone, with the keyboard, and by whoever cannot see it."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from annotate.models import Project
from annotate.workflow.intake import import_prompts
from tests.browser.conftest import Open
from tests.workbench.server import until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
PHONE = {"width": 390, "height": 640}


def test_a_prompt_that_is_opened_is_shown_whole(open_as: Open, garden: Project) -> None:
    story = " ".join(f"Then the fox of part {number} went on." for number in range(40))
    import_prompts(project=garden, lines=[f'{{"id": "fox", "prompt": "{story}"}}\n'])
    page = open_as("lead", "/p/garden/prompts/")
    row = page.locator("tr", has_text="fox").locator("details")
    row.locator("summary").click()
    expect(row.locator(".text")).to_contain_text("part 39")
    text, cell = row.locator(".text").bounding_box(), row.locator("xpath=..").bounding_box()
    assert text is not None and cell is not None
    assert text["height"] > 100
    assert text["y"] + text["height"] <= cell["y"] + cell["height"]
    assert row.evaluate("(opened) => opened.scrollHeight <= opened.clientHeight + 1")


def test_a_long_line_of_code_scrolls_in_its_box_on_a_phone(open_as: Open, garden: Project) -> None:
    code = {"role": "user", "content": f"What is this?\n\n```python\nx = {' + '.join(['1'] * 60)}\n```"}
    garden.prompts.update(messages=[code])
    number = garden.comparisons.order_by("id").values_list("pk", flat=True)[0]
    page = open_as("lead", f"/p/garden/comparisons/{number}/", viewport=PHONE)
    expect(page.locator(".turn pre")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.locator(".turn pre").evaluate("box => box.scrollWidth > box.clientWidth")


def test_the_whole_menu_can_be_reached_on_a_phone(open_as: Open, garden: Project) -> None:
    page = open_as("lead", "/p/garden/", viewport=PHONE)
    page.locator("summary", has_text="Menu").click()
    sheet = page.locator(".topbar details[open] .sheet").bounding_box()
    assert sheet is not None and sheet["y"] + sheet["height"] <= PHONE["height"]
    last = page.locator(".topbar details[open]").get_by_role("link", name="Settings")
    last.scroll_into_view_if_needed()
    last.click()
    page.wait_for_url("**/p/garden/settings/")


def test_escape_closes_a_menu_and_stays_at_its_button(open_as: Open, garden: Project) -> None:
    page = open_as("lead", "/p/garden/")
    button = page.locator("summary", has_text="lead")
    button.press("Enter")
    page.keyboard.press("Tab")
    expect(button).not_to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".topbar details[open]")).to_have_count(0)
    expect(button).to_be_focused()


def test_a_table_wider_than_its_box_is_a_region_of_the_keyboard(open_as: Open, garden: Project) -> None:
    page = open_as("lead", "/p/garden/prompts/", viewport=PHONE)
    region = page.get_by_role("region", name="Prompts")
    expect(region).to_have_attribute("tabindex", "0")
    region.focus()
    page.keyboard.press("ArrowRight")
    until(lambda: page.locator(".table-box").evaluate("box => box.scrollLeft") > 0, 10, "scrolled by a key")
    page.set_viewport_size({"width": 1400, "height": 900})
    expect(page.locator(".table-box")).not_to_have_attribute("tabindex", "0")


def test_what_needs_a_script_or_a_keyboard_is_not_offered_without(open_as: Open, garden: Project) -> None:
    path = "/p/garden/judge/"
    expect(open_as("ann", path).get_by_role("button", name="Keys")).to_be_visible()
    expect(open_as("ann", path, java_script_enabled=False).get_by_role("button", name="Keys")).to_be_hidden()
    expect(open_as("ann", path, viewport=PHONE).get_by_role("button", name="Keys")).to_be_hidden()


@pytest.mark.parametrize(("zone", "hours"), [("Asia/Shanghai", 8), ("America/New_York", -5)])
def test_a_moment_is_read_by_the_readers_own_clock(open_as: Open, garden: Project, zone: str, hours: int) -> None:
    made = datetime(2026, 1, 31, 20, 30, tzinfo=UTC)
    garden.snapshots.update(created_at=made)
    moment = open_as("lead", "/p/garden/snapshots/", timezone_id=zone).locator("td time")
    expect(moment).to_have_text(f"{made + timedelta(hours=hours):%Y-%m-%d %H:%M}")
    expect(moment).to_have_attribute("title", "2026-01-31 20:30:00 UTC")
