"""Adjudication in a real browser: decided with the keyboard alone, on a phone, and without JavaScript."""

import pytest
from playwright.sync_api import expect

from annotate.models import Adjudication, Project, Role
from annotate.workflow.guidelines import current_version, mark_read
from annotate.workflow.projects import set_member
from tests.browser.conftest import Open
from tests.factories import judge, make_user

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
PATH = "/p/garden/adjudication/"
SETTLED = 450  # milliseconds after which a new card takes a key


@pytest.fixture
def disputed(garden: Project) -> list[int]:
    """Ben answers the first three the other way round; their ids."""
    garden.comparisons.update(overlap=2)
    for name, role in (("ben", Role.ANNOTATOR), ("rev", Role.REVIEWER)):
        set_member(project=garden, user=make_user(name), role=role)
    people = {each.user.username: each.user for each in garden.memberships.select_related("user")}
    mark_read(version=current_version(garden), user=people["rev"])
    for number in range(3):
        judge(garden, people["ben"], "a" if number % 3 else "b")
    return list(garden.comparisons.disputed().order_by("id").values_list("pk", flat=True))


def test_a_reviewer_decides_with_the_keyboard_alone(open_as: Open, disputed: list[int]) -> None:
    page = open_as("rev", PATH)
    page.get_by_role("link", name="Start deciding").press("Enter")
    card = page.locator("#card")
    for number, keys in enumerate((["1"], ["n", "v", "t"], ["b"])):
        expect(card).to_have_attribute("data-comparison", str(disputed[number]))
        page.wait_for_timeout(SETTLED)
        for key in keys:
            page.keyboard.press(key)
            if key == "n":
                page.keyboard.type("Neither names a month.")
                page.keyboard.press("Escape")
            if key == "v":
                expect(page.locator("#votes tbody tr")).to_have_count(2)
                expect(page.locator("#note")).to_have_value("Neither names a month.")
    page.keyboard.press("Space")
    page.get_by_role("dialog").get_by_role("button", name="Bad item").press("Enter")
    expect(card).to_have_attribute("data-kind", "done")
    words = list(Adjudication.objects.order_by("id").values_list("comparison", "votes_seen", "note", "reason"))
    assert words == [
        (disputed[0], False, "", ""),
        (disputed[1], True, "Neither names a month.", ""),
        (disputed[2], False, "", "unclear"),
    ]
    page.wait_for_timeout(SETTLED)
    page.keyboard.press("u")
    expect(card).to_have_attribute("data-comparison", str(disputed[2]))
    page.wait_for_timeout(SETTLED)
    page.keyboard.press("2")
    page.keyboard.press("2")
    expect(card).to_have_attribute("data-kind", "done")
    assert Adjudication.objects.current().count() == 3
    page.reload()
    assert page.url.endswith(PATH)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it(open_as: Open, disputed: list[int], scheme: str) -> None:
    page = open_as("rev", PATH, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    for step in ("Start deciding", "Show 2 votes"):
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        page.get_by_role("link", name=step).click()
    expect(page.locator("#votes tbody tr")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_votes_that_were_asked_for_are_in_sight(open_as: Open, disputed: list[int]) -> None:
    page = open_as("rev", f"{PATH}{disputed[0]}/", viewport={"width": 1280, "height": 500})
    page.wait_for_timeout(SETTLED)
    page.keyboard.press("v")
    table = page.locator("#votes table")
    expect(table).to_be_in_viewport(ratio=1)
    bottom, bar = (page.locator(each).bounding_box() for each in ("#votes table", ".verdict"))
    assert bottom is not None and bar is not None
    assert bottom["y"] + bottom["height"] <= bar["y"]
    expect(page.locator("#votes h2").first).to_be_focused()
    page.keyboard.press("2")
    expect(page.locator("#card")).not_to_have_attribute("data-comparison", str(disputed[0]))


def test_without_javascript_votes_and_decisions_are_plain_pages(open_as: Open, disputed: list[int]) -> None:
    page = open_as("rev", PATH, java_script_enabled=False)
    page.get_by_role("link", name="Start deciding").click()
    page.get_by_role("link", name="Show 2 votes").click()
    expect(page.locator("#votes tbody tr")).to_have_count(2)
    page.get_by_role("button", name="Left better").click()
    page.wait_for_url(f"**{PATH}{disputed[1]}/")
    page.get_by_role("button", name="Bad item").first.click()
    page.get_by_label("Both responses say the same").check()
    page.get_by_role("dialog").get_by_role("button", name="Bad item").click()
    page.wait_for_url(f"**{PATH}{disputed[2]}/")
    assert set(Adjudication.objects.values_list("votes_seen", "reason")) == {(True, ""), (False, "same")}
