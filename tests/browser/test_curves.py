"""How the curves of a run lie in their pictures."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from annotate.models import Project
from tests.browser.conftest import Open
from tests.training.views.conftest import begin, complete, step, write_progress
from training.models import Artifact, Run
from training.workflow import rounds

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


def policy_run(garden: Project) -> Run:
    """The second stage of a round, begun."""
    base, snapshot = Artifact.objects.get(name="base"), garden.snapshots.get()
    round = rounds.start_round(garden, snapshot, base, policy="ppo", prompts=3)
    complete(round.runs.get(stage=0), {})
    return begin(round.runs.get(stage=1))


@pytest.fixture
def page(open_as: Open, garden: Project) -> Page:
    """A policy that stands still in all but the length of its responses; once a figure was no number."""
    run = policy_run(garden)
    for n in range(1, 15):
        still = {"eos_rate": 0.0, "entropy": 6.62774 + n * 1e-6, "score": float("nan") if n == 4 else 1.0}
        write_progress(run, [step(n, reward=0.1 * n, kl=0.2 * n, length=20.0 + n, clip_fraction=n / 1000, **still)])
    return open_as("lead", f"/p/garden/runs/{run.pk}/")


def axis(page: Page, metric: str, name: str = "yaxis") -> Any:
    figure = page.locator(f"figure[data-metric={metric}]:not([data-against]) .plot")
    expect(figure.locator(".scatterlayer .trace").first).to_be_attached()
    return figure.evaluate(f"(plot) => plot._fullLayout.{name}.range")


def test_a_curve_that_stands_still_looks_still(page: Page) -> None:
    assert axis(page, "eos_rate") == [-0.02, 1.02]
    low, high = axis(page, "entropy")
    assert high - low > 0.13 and low < 6.6277 < high
    low, high = axis(page, "score")
    assert high - low == pytest.approx(0.022)


def test_a_curve_that_moves_fills_its_picture(page: Page) -> None:
    low, high = axis(page, "length")
    assert low > 18 and high < 36
    low, high = axis(page, "clip_fraction")
    assert high - low < 0.03


def test_pointing_at_a_curve_names_the_step_and_four_digits(page: Page) -> None:
    plot = page.locator("figure[data-metric=entropy] .plot")
    plot.scroll_into_view_if_needed()
    axis(page, "entropy")
    plot.locator(".nsewdrag").hover()
    hover = plot.locator(".hoverlayer")
    expect(hover).to_contain_text("Step ")
    expect(hover).to_contain_text("6.628")
    expect(hover).not_to_contain_text("6.6277")


def test_the_curves_of_a_policy_that_is_paid_come_first(page: Page) -> None:
    figures = page.locator("#curves figure:visible")
    expect(figures.first).to_have_attribute("data-against", "kl")
    shown = [each.get_attribute("data-metric") for each in figures.all()]
    assert shown[:5] == ["reward", "kl", "length", "eos_rate", "score"]


def test_the_first_step_is_seen_in_every_picture_and_no_step_lies_between_two(open_as: Open, garden: Project) -> None:
    run = policy_run(garden)
    write_progress(run, [step(1, reward=0.1, kl=0.2, kl_coefficient=0.05)])
    page = open_as("lead", f"/p/garden/runs/{run.pk}/")
    kl = page.locator("figure[data-metric=kl]:not([data-against]) .plot")
    expect(kl.locator(".scatterlayer .point")).to_have_count(2)  # the KL and its coefficient
    expect(kl.locator(".xaxislayer-above text")).to_have_text(["0", "1"])
    expect(page.locator("figure[data-against=kl] .cbaxis text")).to_have_text(["1"])
