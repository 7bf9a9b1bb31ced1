"""The whole circle in a real browser against the real worker: sample, judge, freeze, train, second batch, export."""

import json
import re

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Workbench

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(540)]

PAIRS = 14
# A card takes no key in its first moments, so that a double press does not answer two cards.
SETTLE = 450


def _sample(lead: Page) -> None:
    lead.goto("/p/garden/sampling/new/")
    lead.fill("[name=batch_name]", "First samples")
    lead.fill("[name=prompts]", str(PAIRS))
    lead.fill("[name$=max_new_tokens]", "24")
    lead.click("main form button.btn-primary")
    expect(lead).to_have_url(re.compile(r"/runs/\d+/"))


def _wait_for_comparisons(lead: Page, number: int) -> None:
    for _ in range(120):
        lead.goto("/p/garden/runs/")
        if lead.locator("main tbody").get_by_text("Done", exact=True).count():  # the filter names it too
            break
        lead.wait_for_timeout(1000)
    lead.goto("/p/garden/comparisons/")
    expect(lead.locator("main tbody tr")).to_have_count(number)


def _judge(ann: Page, number: int) -> None:
    """Read the guideline, then answer with the keyboard alone."""
    ann.goto("/p/garden/judge/")
    ann.get_by_role("button", name="I have read it").click()
    for i in range(number):
        ann.locator("#card[data-kind=card]").wait_for()
        before = ann.locator("#card").get_attribute("data-assignment")
        ann.wait_for_timeout(SETTLE)
        ann.keyboard.press("12"[i % 2])
        expect(ann.locator("#card")).not_to_have_attribute("data-assignment", before or "", timeout=20_000)
    expect(ann.locator("#card")).to_have_attribute("data-kind", "done")


def _freeze(lead: Page) -> list[dict]:
    """The rows of the exported JSONL."""
    lead.goto("/p/garden/snapshots/new/")
    lead.get_by_role("button", name="Count again").click()
    expect(lead).to_have_url(re.compile("seed=0"))
    assert "csrf" not in lead.url, "a token in an address stands in every log"
    lead.get_by_role("button", name="Freeze").click()
    expect(lead).to_have_url(re.compile(r"/snapshots/1/"))
    lead.get_by_text("Download", exact=True).click()
    with lead.expect_download() as download:
        lead.get_by_text("JSONL, everything").click()
    return [json.loads(line) for line in open(download.value.path(), encoding="utf-8")]


def _train(lead: Page) -> None:
    lead.goto("/p/garden/rounds/new/")
    lead.fill("[name=fresh_prompts]", "6")
    lead.fill("[name=sample-max_new_tokens]", "24")
    lead.get_by_role("button", name="Start the round").click()
    expect(lead).to_have_url(re.compile(r"/rounds/1/"))
    for _ in range(150):
        lead.reload()
        if lead.locator("main").get_by_text("Done", exact=True).count() >= 3:
            return
        assert not lead.locator("main").get_by_text("Failed", exact=True).count(), lead.locator("main").inner_text()
        lead.wait_for_timeout(2000)
    raise AssertionError("the round did not end:\n" + lead.locator("main").inner_text())


def _web_megabytes(workbench: Workbench) -> int:
    """Resident memory of the largest process of the web server, after everything above has gone through it."""
    bound = workbench.address.removeprefix("http://")
    processes = [process for process in psutil.process_iter(["cmdline"]) if bound in (process.info["cmdline"] or [])]
    return max(process.memory_info().rss for process in processes) // 2**20


def test_the_whole_circle(workbench: Workbench, browser: Browser) -> None:
    lead = workbench.page(browser, "lead")
    _sample(lead)
    _wait_for_comparisons(lead, PAIRS)

    ann = workbench.page(browser, "ann")
    _judge(ann, PAIRS)

    rows = _freeze(lead)
    assert len(rows) == PAIRS
    assert all(set(row) == {"prompt", "chosen", "rejected"} for row in rows)

    _train(lead)
    # Four held-out pairs allow no figure, and the page says so instead of showing one.
    expect(lead.locator("main")).to_contain_text("too few to say anything")
    lead.goto("/p/garden/models/")
    expect(lead.locator("main")).to_contain_text("Round 1 policy (DPO)")

    ann.goto("/p/garden/judge/")
    ann.locator("#card[data-kind=card]").wait_for()
    assert "Round" not in ann.locator("#card").inner_text(), "the card is blind"
    ann.wait_for_timeout(SETTLE)
    ann.keyboard.press("0")
    expect(ann.locator("#card")).to_contain_text(f"{PAIRS + 1} judged")

    megabytes = _web_megabytes(workbench)
    assert 50 < megabytes < 200

    report = json.loads(workbench.manage("agreement", "garden", "--json"))
    assert report["n_judgments"] == PAIRS + 1
