"""The playground in a real browser: two models side by side by the keyboard alone, a score, and a phone in the dark."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from annotate.models import Comparison, Project
from tests.browser.conftest import Open
from tests.training.playgrounds import begun, models, reply, reply_score
from training.models import Playground
from training.workflow.playground import allow_comparisons, mailbox_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
TEXT = "First, water it. Then wait. 第三，浇水。"


@pytest.fixture
def session(garden: Project) -> Iterator[Playground]:
    """Whatever is asked is answered after a moment, as a process would."""
    one, two, judge = models(garden)
    allow_comparisons(garden, True)
    made = begun(garden, [one, two], reward_model=judge, blind=True)
    mailbox, over, seen = mailbox_of(made), threading.Event(), set[int]()

    def answer() -> None:
        while not over.wait(0.3):
            for number in set(mailbox.numbers()) - seen:
                seen.add(number)
                request = mailbox.request(number)
                if request["kind"] == "score":
                    reply_score(made, number, TEXT, [-0.5, 0.25, 0.125], [16, 27, len(TEXT)])
                else:
                    texts = {part: f"{part}, *{number}*" for part in request["order"]}
                    reply(made, number, {part: text + " word" * 30 for part, text in texts.items()})

    thread = threading.Thread(target=answer)
    thread.start()
    yield made
    over.set()
    thread.join()


def fits(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def answered(page: Page, turns: int) -> None:
    expect(page.locator(".exchange")).to_have_count(turns)
    expect(page.locator("#last_turn .answer .text")).to_have_count(2)
    expect(page.locator("#last_turn")).not_to_have_attribute("aria-busy", "true")


@pytest.mark.parametrize("look", [{}, {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}])
def test_a_conversation_by_the_keyboard(open_as: Open, session: Playground, look: dict[str, Any]) -> None:
    page = open_as("lead", f"/p/garden/playground/{session.run_id}/", **look)
    page.fill("#talk [name=text]", "How do I grow a fern?")
    page.keyboard.press("Control+Enter")
    answered(page, 1)
    expect(page.locator("#talk [name=text]")).to_be_focused()
    page.keyboard.type("And then?")
    page.keyboard.press("Control+Enter")
    answered(page, 2)
    page.locator("#last_turn [name=again]").press("Enter")
    expect(page.locator("#last_turn .answer .text").first).to_contain_text("3")
    answered(page, 2)
    page.locator("#last_turn summary", has_text="Edit").press("Enter")
    page.fill("#edited", "And before?")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#last_turn .turn.user")).to_contain_text("And before?")
    answered(page, 2)
    page.fill("#scores [name=prompt]", "How?")
    page.fill("#scores [name=response]", TEXT)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#last_score [data-total]")).to_have_text("0.1250")
    expect(page.locator(".score-curve circle")).to_have_count(3)
    assert fits(page)
    page.locator(".exchange").first.get_by_role("button", name="Send to the queue").click()
    expect(page.locator(".messages")).to_contain_text("It stands in the queue")
    assert Comparison.objects.filter(batch__name="Playground").count() == 1
    page.get_by_role("button", name="Reveal the names").click()
    expect(page.locator(".page-head .lead")).to_contain_text("Left: ")


def test_without_scripts_a_form_and_a_reload_do(open_as: Open, session: Playground) -> None:
    page = open_as("lead", f"/p/garden/playground/{session.run_id}/", java_script_enabled=False)
    page.fill("#talk [name=text]", "How do I grow a fern?")
    page.click("#talk button.btn-primary")
    page.wait_for_url("**#chat")
    page.wait_for_timeout(800)
    page.click("noscript a")
    expect(page.locator("#last_turn .answer .text")).to_have_count(2)


def test_the_form_tells_what_it_will_take(open_as: Open, session: Playground) -> None:
    page = open_as("lead", "/p/garden/playground/", viewport={"width": 390, "height": 844})
    expect(page.locator("#estimate")).to_contain_text("not on this machine yet")
    page.select_option("[name=model]", "")
    expect(page.locator("#estimate")).to_contain_text("Memory of the models")
    assert fits(page)
