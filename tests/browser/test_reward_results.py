"""The results of a reward model in a real browser: the reliability plot, and the same as a table without scripts."""

from typing import Any

import pytest
from playwright.sync_api import expect

from annotate.models import Project
from tests.browser.conftest import Open
from tests.training.views.conftest import complete
from tests.training.views.test_reward_results import reward_metrics
from training.models import Artifact
from training.workflow import rounds

# What scripts and styles make of a page is the same on every database; what it says, the tests of its view look at.
pytestmark = [pytest.mark.browser, pytest.mark.not_db, pytest.mark.timeout(120)]
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def paths(garden: Project) -> list[str]:
    """The three pages that show a measured reward model."""
    round = rounds.start_round(garden, garden.snapshots.get(), Artifact.objects.get(name="base"), prompts=3)
    model = complete(round.runs.get(stage=0), reward_metrics())
    return [f"/p/garden/runs/{model.run_id}/", "/p/garden/rounds/1/", f"/p/garden/models/{model.pk}/"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_plot_has_a_point_for_each_bin_and_the_line_of_a_calibrated_model(
    open_as: Open, paths: list[str], scheme: Any
) -> None:
    for path in paths:
        page = open_as("lead", path, viewport=PHONE, color_scheme=scheme)
        card = page.locator(".reliability")
        expect(card.locator("path.point")).to_have_count(5)
        expect(card.locator(".scatterlayer .js-line")).to_have_count(2)
        expect(card.locator(".errorbar")).to_have_count(5)
        expect(card.locator(".plot")).to_have_attribute(
            "aria-label", "Reliability: 55 % → 50 %, 65 % → 60 %, 75 % → 70 %, 85 % → 80 %, 95 % → 90 %"
        )
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_without_javascript_the_bins_are_a_table_and_no_empty_frame_is_left(open_as: Open, paths: list[str]) -> None:
    page = open_as("lead", paths[2], java_script_enabled=False)
    expect(page.locator(".reliability .plot")).to_be_hidden()
    page.get_by_text("The same in numbers").click()
    expect(page.locator(".reliability tbody tr")).to_have_count(5)
    expect(page.locator(".reliability tbody tr").first).to_contain_text("55 %")
