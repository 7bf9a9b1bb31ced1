"""The forms and pages of the right wing in a real browser: settings that come and go, curves, a queue that fills."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from annotate.models import Judgment, Project
from tests.browser.conftest import Open
from tests.factories import make_comparisons
from tests.training import small_model as small
from tests.training.views.conftest import begin, complete, step, write_progress
from tests.training.views.test_round_methods import written
from training.models import Artifact, Round, Run
from training.workflow import device, rounds, runs, sampling

# What scripts and styles make of a page is the same on every database; what it says, the tests of its view look at.
pytestmark = [pytest.mark.browser, pytest.mark.not_db, pytest.mark.timeout(120)]
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def small_model(garden: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifact:
    """With a config.json, which is all that an estimate reads."""
    monkeypatch.setattr(device, "measured_speed", lambda: small.SPEED)
    return small.small_model(garden, tmp_path)


def _fits(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def _first_choice(page: Page, name: str) -> None:
    page.select_option(f"[name={name}]", index=1)


def test_an_impatient_second_click_sends_nothing(open_as: Open) -> None:
    """As long as the answer to the first has not come: the page is still there."""
    sent = open_as("lead", "/p/garden/rounds/new/").evaluate(
        """async () => {
            const form = "<form method=post action=/nowhere/ target=there><button>Start</button><button>Other</button>";
            document.body.insertAdjacentHTML("beforeend", form);
            const sent = [];
            addEventListener("submit", (e) => e.defaultPrevented || sent.push(e.submitter.textContent));
            const [start, other] = document.querySelectorAll("[target=there] button");
            for (const button of [start, start, other]) {
                button.click();
                await new Promise((done) => setTimeout(done, 20));
            }
            return sent;
        }"""
    )
    assert sent == ["Start", "Other"]


def test_only_the_chosen_method_and_adapter_are_asked_for(open_as: Open) -> None:
    page = open_as("lead", "/p/garden/rounds/new/")
    expect(page.locator("#stage-dpo")).to_be_visible()
    for hidden in ("ppo", "grpo", "kto", "sft"):
        expect(page.locator(f"#stage-{hidden}")).to_be_hidden()
    expect(page.locator(".counts-if").first).to_be_hidden()

    page.locator("#stage-dpo summary").click()
    expect(page.locator("[name=dpo-rank]")).to_be_visible()
    expect(page.locator("[name=dpo-virtual_tokens]")).to_be_hidden()
    page.select_option("[name=dpo-adapter]", label="P-Tuning v1")
    for shown in ("virtual_tokens", "encoder", "encoder_hidden"):
        expect(page.locator(f"[name=dpo-{shown}]")).to_be_visible()
    expect(page.locator("[name=dpo-rank]")).to_be_hidden()
    expect(page.locator("[name=reward-adapter]")).to_have_value("lora")

    page.get_by_label("PPO", exact=False).first.check()
    expect(page.locator("#stage-ppo")).to_be_visible()
    expect(page.locator("#stage-dpo")).to_be_hidden()
    _first_choice(page, "demonstrations")
    expect(page.locator("#stage-sft")).to_be_visible()


def test_a_wrong_value_in_a_method_that_was_left_again_does_not_hold_the_round_back(open_as: Open) -> None:
    page = open_as("lead", "/p/garden/rounds/new/")
    page.fill("[name=dpo-epochs]", "0")
    page.select_option("[name=reward-adapter]", "prefix")
    page.check("[name=policy][value=ppo]")
    page.select_option("[name=ppo-adapter]", "ia3")
    _first_choice(page, "demonstrations")
    page.get_by_role("button", name="Start the round").click()
    page.wait_for_url("**/rounds/1/")
    stages = list(Round.objects.get().runs.order_by("stage"))
    assert [stage.recipe for stage in stages] == ["sft", "reward", "ppo", "sample"]
    assert [stage.config.get("adapter") for stage in stages] == ["lora", "prefix", "ia3", None]


def test_a_wrong_value_in_a_closed_part_is_shown_where_it_stands(open_as: Open) -> None:
    page = open_as("lead", "/p/garden/rounds/new/")
    page.locator("#stage-dpo summary").click()
    page.fill("[name=dpo-rank]", "0")
    page.locator("#stage-dpo summary").click()
    expect(page.locator("[name=dpo-rank]")).to_be_hidden()
    page.get_by_role("button", name="Start the round").click()
    expect(page.locator("[name=dpo-rank]")).to_be_visible()
    assert not Round.objects.exists()


def test_the_number_of_an_empty_learning_rate_follows_the_adapter_until_one_is_typed(open_as: Open) -> None:
    page = open_as("lead", "/p/garden/runs/new/?recipe=reward")
    rate = page.locator("[name=reward-learning_rate]")
    expect(rate).to_have_attribute("placeholder", "0.0002")
    page.select_option("[name=reward-adapter]", "full")
    expect(rate).to_have_attribute("placeholder", "0.00002")
    expect(rate).to_have_value("")
    rate.fill("0.001")
    page.select_option("[name=reward-adapter]", "ia3")
    expect(rate).to_have_value("0.001")


def test_an_error_of_the_server_leaves_the_choices_as_they_were(open_as: Open) -> None:
    page = open_as("lead", "/p/garden/rounds/new/")
    page.check("[name=policy][value=grpo]")
    page.select_option("[name=grpo-adapter]", "houlsby")
    page.fill("[name=grpo-learning_rate]", "0.01")
    page.locator("#stage-grpo summary").click()
    page.fill("[name=grpo-generations]", "5")
    page.get_by_role("button", name="Start the round").click()
    expect(page.locator("#stage-grpo")).to_contain_text("must be a multiple of this")
    expect(page.locator("#stage-dpo")).to_be_hidden()
    page.select_option("[name=grpo-adapter]", "lora")
    expect(page.locator("[name=grpo-rank]")).to_have_value("16")


def test_without_javascript_everything_is_shown_with_what_it_is_for_and_the_round_starts(open_as: Open) -> None:
    page = open_as("lead", "/p/garden/rounds/new/", java_script_enabled=False)
    for method in ("dpo", "ppo", "sft"):
        expect(page.locator(f"#stage-{method}")).to_be_visible()
    page.locator("#stage-rloo summary").click()
    expect(page.locator("#stage-rloo")).to_contain_text("Counts only with LoRA, QLoRA (in 4 bits).")
    page.check("[name=policy][value=rloo]")
    page.select_option("[name=rloo-adapter]", "prompt_tuning")
    page.fill("[name=rloo-virtual_tokens]", "9")
    page.get_by_role("button", name="Start the round").click()
    page.wait_for_url("**/rounds/1/")
    run = Round.objects.get().runs.get(stage=1)
    assert (run.recipe, run.config["adapter"], run.config["virtual_tokens"]) == ("rloo", "prompt_tuning", 9)


def test_a_single_run_starts_by_clicks_alone(open_as: Open) -> None:
    page = open_as("lead", "/p/garden/runs/new/")
    page.get_by_role("link", name="Policy (SimPO)").click()
    page.get_by_role("button", name="Start the run").click()
    page.wait_for_url("**/runs/*/")
    assert Run.objects.get().recipe == "simpo"


@pytest.mark.parametrize("path", ["/p/garden/rounds/new/", "/p/garden/runs/new/", "/p/garden/runs/new/?recipe=kto"])
def test_the_forms_fit_a_phone_in_the_dark(open_as: Open, path: str) -> None:
    assert _fits(open_as("lead", path, viewport=PHONE, color_scheme="dark"))


def test_a_form_that_comes_back_leads_to_its_first_mistake(open_as: Open) -> None:
    page = open_as("lead", "/p/garden/rounds/new/")
    page.locator("form[data-recipes]").evaluate("(form) => { form.noValidate = true; }")
    page.fill("[name=reward-epochs]", "-1")
    page.get_by_role("button", name="Start the round").click()
    summary = page.get_by_role("alert").filter(has_text="A setting of “Reward model” cannot be used:")
    field = page.locator("[name=reward-epochs]")
    expect(field).to_be_focused()
    page.keyboard.press("Home")
    summary.get_by_role("link", name="Epochs").click()
    expect(field).to_be_in_viewport()


@pytest.fixture
def ppo(garden: Project) -> Run:
    """Under way, with a loophole found: reward and length rise, fewer responses end."""
    base, snapshot = Artifact.objects.get(name="base"), garden.snapshots.get()
    round = rounds.start_round(garden, snapshot, base, policy="ppo", prompts=3)
    complete(round.runs.get(stage=0), {})
    run = begin(round.runs.get(stage=1))
    for n in range(1, 30):
        figures = {"reward": 0.1 * n, "kl": 0.2 * n, "kl_coefficient": 0.05, "length": 20.0 + n}
        more = {
            "value_loss": 1 / n,
            "eos_rate": 1 - n / 40,
            "explained_variance": n / 50,
            "entropy": 2 - n / 40,
            "clip_fraction": n / 99,
        }
        write_progress(run, [step(n, **figures, **more)])
    write_progress(run, [written(29, "**Longer** and longer.")])
    return run


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_curves_of_ppo_are_drawn_on_the_pages_of_round_and_run(open_as: Open, ppo: Run, scheme: Any) -> None:
    for path in ("/p/garden/rounds/1/", f"/p/garden/runs/{ppo.pk}/"):
        page = open_as("lead", path, viewport=PHONE, color_scheme=scheme)
        frontier = page.locator("figure[data-against=kl]")
        expect(frontier.locator("path.point")).to_have_count(29)
        expect(frontier.locator(".cbtitle")).to_have_text("Step")
        for metric in ("kl", "length", "eos_rate", "explained_variance", "entropy", "clip_fraction"):
            expect(page.locator(f"figure[data-metric={metric}] .scatterlayer").first).to_be_visible()
        expect(page.locator("figure[data-metric=kl] .y2title, figure[data-metric=kl] .legendtext")).not_to_have_count(0)
        expect(page.locator("figure[data-metric=approx_kl]")).to_be_hidden()
        expect(page.locator("main")).to_contain_text("Longer and longer.")
        assert _fits(page)


def test_details_are_drawn_when_they_are_opened_and_grow_with_the_rest(open_as: Open, ppo: Run) -> None:
    page = open_as("lead", f"/p/garden/runs/{ppo.pk}/")
    figure = page.locator("figure[data-metric=value_loss]")
    expect(page.locator("figure[data-metric=kl] .scatterlayer").first).to_be_visible()
    expect(figure).to_be_hidden()
    page.get_by_text("More curves").click()
    expect(figure.locator(".scatterlayer").first).to_be_visible()
    assert figure.locator(".main-svg").first.bounding_box()["width"] > 200
    expect(page.locator("figure[data-metric=policy_loss]")).to_be_hidden()  # nothing was told of it
    assert _fits(page)


def test_the_curves_of_a_short_run_grow_while_one_looks(open_as: Open, ppo: Run) -> None:
    """Of fewer steps than are smoothed, and one figure against another."""
    page = open_as("lead", f"/p/garden/runs/{ppo.pk}/")
    frontier = page.locator("figure[data-against=kl]")
    expect(frontier.locator("path.point")).to_have_count(29)
    write_progress(ppo, [step(30, reward=3.5, kl=6.5, length=50.0)])
    expect(frontier.locator("path.point")).to_have_count(30, timeout=15_000)


def test_an_empty_queue_fills_by_itself_while_samples_are_written_and_rests_otherwise(
    open_as: Open, garden: Project
) -> None:
    run = sampling.start_sampling(garden, Artifact.objects.get(), {}, garden.prompts.all()[:2])
    page = open_as("ann", "/p/garden/judge/")
    expect(page.locator("#card")).to_contain_text("appears here by itself")
    page.locator("#look_again").focus()
    with page.expect_response("**/judge/next/", timeout=10_000):
        pass
    expect(page.locator("#look_again")).to_be_focused()
    make_comparisons(garden, 1, start=200)
    expect(page.locator("#card")).to_have_attribute("data-kind", "card", timeout=10_000)
    runs.request_cancel(run)
    page.wait_for_timeout(600)
    page.keyboard.press("1")
    expect(page.locator("#card")).to_have_attribute("data-kind", "done")
    expect(page.locator("#card")).not_to_contain_text("appears here by itself")
    assert Judgment.objects.filter(annotator__username="ann").count() == 31


def test_the_estimate_follows_the_form(open_as: Open, small_model: Artifact) -> None:
    page = open_as("lead", "/p/garden/runs/new/?recipe=dpo", viewport=PHONE)
    chosen = page.locator("#estimate tr.chosen")
    expect(chosen).to_contain_text("4,884,480", timeout=20_000)
    expect(chosen).to_contain_text("LoRA")
    page.select_option("[name=dpo-adapter]", "ia3")
    expect(chosen).to_contain_text("57,600", timeout=20_000)
    page.fill("[name=estimate-memory]", "3")
    expect(page.locator("#estimate")).to_contain_text("The nearest that fits takes", timeout=20_000)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # the table scrolls inside its box
    assert not Run.objects.exists()


def test_without_scripts_a_button_makes_the_estimate(open_as: Open, small_model: Artifact) -> None:
    page = open_as("lead", "/p/garden/runs/new/?recipe=reward", java_script_enabled=False)
    page.click("[name=estimate]")
    expect(page.locator("#estimate tr.chosen")).to_contain_text("LoRA")
    assert not Run.objects.exists()
