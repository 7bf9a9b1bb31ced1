"""Degrees of preference in a real browser: one key a comparison, arrows that only walk, and nothing lost on the way."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from annotate.models import Degrees, Judgment, Project, Role
from annotate.workflow.guidelines import current_version, mark_read
from annotate.workflow.projects import create_project, set_member
from tests.browser.test_outbox import SUBMIT, _expect_next, _press, _sign_in
from tests.factories import make_comparisons, make_user

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


@pytest.fixture
def judging(browser: Browser, live_server: LiveServer, transactional_db: None) -> Iterator[Page]:
    """Ann, with the first of nine cards before her, on a phone's width."""
    project = create_project(
        slug="garden", name="Garden", manager=make_user("lead"), degrees=Degrees.THREE, guideline="Help.", summary="1"
    )
    ann = make_user("ann")
    set_member(project=project, user=ann, role=Role.ANNOTATOR)
    mark_read(version=current_version(project), user=ann)
    make_comparisons(project, 9)
    context = browser.new_context(base_url=live_server.url, viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.goto("/accounts/login/?next=/p/garden/judge/")
    _sign_in(page)
    page.locator("#card[data-kind=card]").wait_for()
    yield page
    context.close()


def _last() -> tuple[str, int | None]:
    """Side and degree of the latest judgment."""
    judgment = Judgment.objects.latest("id")
    if judgment.choice == "tie":
        return "tie", judgment.degree
    return "left" if (judgment.choice == "a") != judgment.flipped else "right", judgment.degree


def test_on_a_narrow_screen_the_same_degrees_stand_in_one_column(judging: Page) -> None:
    for degree in (1, 2, 3):
        left, right = (judging.locator(f"button[value={side}-{degree}]").bounding_box() for side in ("left", "right"))
        assert left["x"] == pytest.approx(right["x"], abs=1) and left["y"] < right["y"]


def test_every_answer_has_one_key_and_an_arrow_alone_answers_nothing(judging: Page) -> None:
    for key, said in (
        ("1", ("left", 3)),
        ("3", ("left", 1)),
        ("4", ("tie", None)),
        ("5", ("right", 1)),
        ("7", ("right", 3)),
    ):
        _expect_next(judging, _press(judging, key))
        assert _last() == said, key
    _expect_next(judging, _press(judging, "t"))
    assert _last() == ("tie", None)
    shown = _press(judging, "ArrowRight")
    judging.keyboard.press("ArrowRight")
    expect(judging.locator("#card")).to_have_attribute("data-assignment", shown)
    assert Judgment.objects.count() == 6
    judging.keyboard.press("Enter")
    _expect_next(judging, shown)
    assert _last() == ("right", 2)
    _press(judging, "u")
    expect(judging.locator("#card")).to_have_attribute("data-assignment", shown)


def test_an_answer_given_offline_keeps_its_degree_though_the_setting_changes_meanwhile(judging: Page) -> None:
    judging.route(SUBMIT, lambda route: route.abort())
    answered = _press(judging, "2")
    expect(judging.locator("#outbox")).to_contain_text("1 answer waiting to be sent")
    Project.objects.update(degrees=Degrees.ONE)
    judging.unroute(SUBMIT)
    judging.get_by_role("button", name="Send now").click()
    _expect_next(judging, answered)
    assert _last() == ("left", 2)
    # The next card asks in the new way, on the page that has been open all the time; its help follows.
    judging.keyboard.press("?")
    expect(judging.locator("#keys .of-degrees").first).to_be_hidden()
    expect(judging.locator("#keys .of-sides").first).to_be_visible()
    judging.keyboard.press("Escape")
    _expect_next(judging, _press(judging, "2"))
    assert _last() == ("right", None)


def test_without_javascript_each_button_is_a_side_with_its_degree(
    judging: Page, browser: Browser, live_server: LiveServer
) -> None:
    context = browser.new_context(
        base_url=live_server.url, java_script_enabled=False, storage_state=judging.context.storage_state()
    )
    plain = context.new_page()
    plain.goto("/p/garden/judge/")
    first = plain.locator("#card").get_attribute("data-assignment") or ""
    plain.get_by_role("group", name="Right is better").get_by_role("button", name="Much better").click()
    expect(plain.locator("#card")).not_to_have_attribute("data-assignment", first)
    assert _last() == ("right", 3)
    context.close()
