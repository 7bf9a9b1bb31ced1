"""No answer is lost in a real browser: not by a dead server, a lost receipt, a false one, or a session that ended."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from pytest_django.live_server_helper import LiveServer

from annotate.models import Judgment, Role
from annotate.workflow.guidelines import current_version, mark_read
from annotate.workflow.projects import create_project, set_member
from tests.factories import PASSWORD, make_comparisons, make_user

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

SUBMIT = "**/judge/submit/"
# A card takes no key in its first moments, so that a double press does not answer two cards.
SETTLE = 450


def _sign_in(page: Page) -> None:
    page.fill("[name=username]", "ann")
    page.fill("[name=password]", PASSWORD)
    page.click("main button.btn-primary")


@pytest.fixture
def judging(browser: Browser, live_server: LiveServer, transactional_db: None) -> Iterator[Page]:
    """Ann, with the first of five cards before her."""
    project = create_project(
        slug="garden", name="Garden", manager=make_user("lead"), guideline="Help.", summary="First"
    )
    ann = make_user("ann")
    set_member(project=project, user=ann, role=Role.ANNOTATOR)
    mark_read(version=current_version(project), user=ann)
    make_comparisons(project, 5)
    context = browser.new_context(base_url=live_server.url)
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.goto("/accounts/login/?next=/p/garden/judge/")
    _sign_in(page)
    page.locator("#card[data-kind=card]").wait_for()
    yield page
    context.close()


def _press(page: Page, key: str) -> str:
    """Press when the card listens; returns the card that was answered."""
    page.wait_for_timeout(SETTLE)
    shown = page.locator("#card").get_attribute("data-assignment") or ""
    page.keyboard.press(key)
    return shown


def _expect_next(page: Page, answered: str) -> None:
    expect(page.locator("#card")).not_to_have_attribute("data-assignment", answered)
    expect(page.locator("#outbox")).to_be_hidden()
    assert not page.evaluate("Object.keys(localStorage).filter((name) => name.includes('outbox')).length")


def _stored() -> int:
    return Judgment.objects.count()


def test_an_answer_given_while_the_server_is_away_survives_a_reload_and_is_sent_later(judging: Page) -> None:
    judging.route(SUBMIT, lambda route: route.abort())
    answered = _press(judging, "2")
    expect(judging.locator("#outbox")).to_contain_text("1 answer waiting to be sent")
    judging.reload()
    expect(judging.locator("#outbox")).to_contain_text("1 answer waiting to be sent")
    _press(judging, "1")
    assert _stored() == 0
    judging.unroute(SUBMIT)
    judging.get_by_role("button", name="Send now").click()
    _expect_next(judging, answered)
    assert _stored() == 1


def test_an_answer_whose_receipt_was_lost_is_stored_once(judging: Page) -> None:
    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    judging.route(SUBMIT, lose)
    answered = _press(judging, "0")
    expect(judging.locator("#outbox")).to_be_visible()
    assert _stored() == 1
    judging.unroute(SUBMIT)
    _expect_next(judging, answered)
    assert _stored() == 1


@pytest.mark.parametrize("status", [200, 403, 500, 502, 503])
def test_an_answer_of_somebody_in_between_is_no_receipt(judging: Page, status: int) -> None:
    judging.route(SUBMIT, lambda route: route.fulfill(status=status, body="<html>Welcome to the hotel</html>"))
    answered = _press(judging, "1")
    expect(judging.locator("#outbox")).to_contain_text("1 answer waiting to be sent")
    judging.unroute(SUBMIT)
    _expect_next(judging, answered)
    assert _stored() == 1


def test_a_session_that_ended_keeps_the_answer_until_the_person_has_signed_in_again(judging: Page) -> None:
    judging.context.clear_cookies(name="sessionid")
    answered = _press(judging, "1")
    expect(judging.locator("#outbox")).to_contain_text("Your session has ended")
    judging.locator("#outbox").get_by_role("link", name="Sign in").click()
    _sign_in(judging)
    judging.locator("#card[data-kind=card]").wait_for()
    _expect_next(judging, answered)
    assert _stored() == 1


def test_a_token_that_is_gone_with_its_session_keeps_the_answer_too(judging: Page) -> None:
    judging.context.clear_cookies(name="csrftoken")
    answered = _press(judging, "1")
    expect(judging.locator("#outbox")).to_contain_text("Your session has ended")
    expect(judging.locator("#outbox [data-discard]")).to_be_hidden()
    judging.reload()
    _expect_next(judging, answered)
    assert _stored() == 1


def test_a_403_in_words_of_ours_is_a_refusal(judging: Page) -> None:
    said = "<main><div data-problem>This needs the role “Annotator”.</div></main>"
    judging.route(SUBMIT, lambda route: route.fulfill(status=403, content_type="text/html; charset=utf-8", body=said))
    _press(judging, "1")
    expect(judging.locator("#outbox")).to_contain_text("This needs the role “Annotator”.")
    expect(judging.locator("#outbox")).not_to_contain_text("Your session has ended")
    expect(judging.get_by_role("button", name="Discard")).to_be_visible()


def test_an_entry_that_cannot_be_read_holds_up_no_answer(judging: Page) -> None:
    """Browsers walk through their entries in the order of the names, or in that of their making."""
    judging.evaluate(
        """() => { const kept = `plumbline.outbox.${document.getElementById("outbox").dataset.user}.`;
            for (const name of ["!", "~"]) localStorage.setItem(kept + name, "{torn"); }"""
    )
    judging.route(SUBMIT, lambda route: route.abort())
    _press(judging, "2")
    judging.reload()
    expect(judging.locator("#outbox")).to_contain_text("1 answer waiting to be sent")
    judging.unroute(SUBMIT)
    judging.get_by_role("button", name="Send now").click()
    expect(judging.locator("#outbox")).to_be_hidden()
    assert _stored() == 1


def test_an_answer_that_the_server_fails_at_holds_up_no_other(judging: Page) -> None:
    """A defect that only this one meets, or a project whose disk is full: those behind it are stored all the same."""
    judging.evaluate(
        """() => localStorage.setItem(`plumbline.outbox.${document.getElementById("outbox").dataset.user}.older`,
            JSON.stringify({client_key: "older", url: "/p/garden/judge/broken/", assignment: 0, saved_at: 1}))"""
    )
    judging.route("**/judge/broken/", lambda route: route.fulfill(status=500, body="<html>Error</html>"))
    judging.route(SUBMIT, lambda route: route.abort())
    answered = _press(judging, "2")
    expect(judging.locator("#outbox")).to_contain_text("2 answers waiting to be sent")
    judging.unroute(SUBMIT)
    judging.get_by_role("button", name="Send now").click()
    expect(judging.locator("#card")).not_to_have_attribute("data-assignment", answered)
    expect(judging.locator("#outbox")).to_contain_text("1 answer waiting to be sent")
    assert _stored() == 1


def test_a_key_pressed_three_times_answers_one_card(judging: Page) -> None:
    answered = _press(judging, "1")
    judging.keyboard.press("1")
    judging.keyboard.press("1")
    _expect_next(judging, answered)
    judging.wait_for_timeout(SETTLE)
    assert _stored() == 1


def test_what_the_server_refuses_is_shown_and_dropped_only_on_the_persons_word(judging: Page) -> None:
    judging.evaluate(
        """() => { const form = document.getElementById("answer"); return fetch(form.action, {
            method: "POST", headers: {"HX-Request": "true"},
            body: new URLSearchParams({...Object.fromEntries(new FormData(form)), side: "tie",
                                       client_key: crypto.randomUUID()})}); }"""
    )
    answered = _press(judging, "1")
    expect(judging.locator("#outbox")).to_contain_text("answered already")
    judging.reload()
    expect(judging.locator("#outbox")).to_contain_text("answered already")
    judging.on("dialog", lambda dialog: dialog.accept())
    judging.locator("#outbox").get_by_role("button", name="Discard").click()
    judging.locator("#card[data-kind=card]").wait_for()
    _expect_next(judging, answered)
    assert _stored() == 1


def test_the_note_is_typed_without_judging_and_the_seconds_are_measured(judging: Page) -> None:
    judging.keyboard.press("n")
    judging.keyboard.type("1 is wrong, t00")
    judging.keyboard.press("Escape")
    _expect_next(judging, _press(judging, "ArrowRight"))
    judgment = Judgment.objects.get()
    assert judgment.note == "1 is wrong, t00"
    assert judgment.seconds is not None and 0 < judgment.seconds < 60


def test_undo_and_skip_work_from_the_keyboard(judging: Page) -> None:
    answered = _press(judging, "1")
    _expect_next(judging, answered)
    _press(judging, "u")
    expect(judging.locator("#card")).to_have_attribute("data-assignment", answered)
    _press(judging, "s")
    judging.get_by_label("I do not know this language well enough").check()
    judging.locator("#skip").get_by_role("button", name="Skip", exact=True).click()
    _expect_next(judging, answered)
    assert not Judgment.objects.current().exists()


def test_nothing_on_the_page_breaks_its_policy(judging: Page) -> None:
    said: list[str] = []
    judging.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    judging.on("pageerror", lambda error: said.append(str(error)))
    judging.reload()
    judging.locator("#card[data-kind=card]").wait_for()
    _press(judging, "g")
    expect(judging.locator("#guideline-text")).to_contain_text("Help.")
    assert said == []


def test_the_page_works_without_javascript(judging: Page, browser: Browser, live_server: LiveServer) -> None:
    context = browser.new_context(
        base_url=live_server.url, java_script_enabled=False, storage_state=judging.context.storage_state()
    )
    plain = context.new_page()
    plain.goto("/p/garden/judge/")
    first = plain.locator("#card").get_attribute("data-assignment") or ""
    plain.get_by_role("button", name="Left better").click()
    expect(plain.locator("#card")).not_to_have_attribute("data-assignment", first)
    plain.get_by_role("button", name="Undo").click()
    expect(plain.locator("#card")).to_have_attribute("data-assignment", first)
    plain.get_by_role("button", name="Skip").click()
    plain.get_by_label("Offensive or unsafe").check()
    plain.locator("#skip").get_by_role("button", name="Skip", exact=True).click()
    expect(plain.locator("#card")).not_to_have_attribute("data-assignment", first)
    context.close()
