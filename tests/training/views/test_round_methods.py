"""The form of a round chooses a method and demonstrations; the page of a round shows how its policy learns."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from annotate.models import DemonstrationSet, Project, Snapshot
from annotate.workflow.demonstrations import import_demonstrations
from tests.training.views.conftest import begin, complete, step, write_progress
from tests.training.views.test_rounds import filled
from training.models import Artifact, Round, Run, RunState
from training.views.curves import curves_of, shared_curves
from training.workflow import rounds, runs
from training.workflow.starting import POLICIES

pytestmark = pytest.mark.django_db
URL = "/p/garden/rounds/new/"


@pytest.fixture
def demonstrations(project: Project) -> DemonstrationSet:
    lines = [f'{{"prompt": "How {n}?", "response": "So."}}\n' for n in range(8)]
    return import_demonstrations(project=project, name="manners", lines=lines)[0]


def least(snapshot: Snapshot, base: Artifact, **more: Any) -> dict[str, Any]:
    """What has to be sent: of the stages nothing."""
    return {"snapshot": snapshot.pk, "base_policy": base.pk, "fresh_prompts": 3, "seed": 0, **more}


@pytest.mark.parametrize("method", POLICIES)
def test_the_chosen_method_makes_the_policy(as_lead: Client, snapshot: Snapshot, base: Artifact, method: str) -> None:
    answer = as_lead.post(URL, filled(snapshot, base, policy=method, **{f"{method}-adapter": "houlsby"}))
    assert answer.status_code == 302, answer.context["form"].errors
    stages = list(Round.objects.get().runs.order_by("stage"))
    assert [stage.recipe for stage in stages] == ["reward", method, "sample"]
    assert stages[1].config["adapter"] == "houlsby"


def test_one_click_is_enough_for_a_dpo_round(as_lead: Client, snapshot: Snapshot, base: Artifact) -> None:
    answer = as_lead.post(URL, least(snapshot, base))
    assert answer.status_code == 302, answer.context["form"].errors
    stages = list(Round.objects.get().runs.order_by("stage"))
    assert [stage.recipe for stage in stages] == ["reward", "dpo", "sample"]
    assert stages[2].config["samples_per_prompt"] == 1


def test_demonstrations_bring_a_stage_before_all_others(
    as_lead: Client, snapshot: Snapshot, base: Artifact, demonstrations: DemonstrationSet
) -> None:
    as_lead.post(URL, least(snapshot, base, demonstrations=demonstrations.pk, policy="grpo"))
    stages = list(Round.objects.get().runs.order_by("stage"))
    assert [stage.recipe for stage in stages] == ["sft", "reward", "grpo", "sample"]
    assert stages[0].demonstrations == demonstrations
    page = as_lead.get(reverse("round", args=["garden", 1])).content.decode()
    assert "manners" in page and "Fine-tuning on demonstrations (SFT)" in page


def test_demonstrations_are_asked_for_only_where_there_are_some(
    as_lead: Client, snapshot: Snapshot, base: Artifact
) -> None:
    assert 'name="demonstrations"' not in as_lead.get(URL).content.decode()


def test_every_method_is_offered_with_a_line_that_says_when(
    as_lead: Client, snapshot: Snapshot, base: Artifact
) -> None:
    page = as_lead.get(URL).content.decode()
    assert page.count('<input type="radio" name="policy"') == len(POLICIES)
    assert 'value="dpo" checked' in page or 'value="dpo" id="id_policy_0" checked' in page
    assert "Quick and steady: begin with this one." in page
    for method in POLICIES:
        assert f'id="stage-{method}"' in page


def test_what_stands_in_a_method_that_is_not_chosen_is_not_looked_at(
    as_lead: Client, snapshot: Snapshot, base: Artifact
) -> None:
    """As the page without its script sends it."""
    answer = as_lead.post(URL, filled(snapshot, base, policy="dpo", **{"ppo-epochs": "0", "sft-epochs": ""}))
    assert answer.status_code == 302, answer.context["form"].errors


def test_what_was_entered_comes_back_with_the_error_also_in_the_other_methods(
    as_lead: Client, snapshot: Snapshot, base: Artifact
) -> None:
    sent = filled(snapshot, base, policy="ppo", **{"ppo-rollouts": "-5", "kto-beta": "0.77"})
    page = as_lead.post(URL, sent).content.decode()
    assert "A setting of “Policy (PPO)” cannot be used" in page
    assert 'value="-5"' in page and 'value="0.77"' in page
    assert page.count('class="errorlist"') == 1


def test_an_adapter_that_nothing_can_be_trained_on_is_refused_at_its_field(
    as_lead: Client, snapshot: Snapshot, base: Artifact, demonstrations: DemonstrationSet
) -> None:
    sent = filled(snapshot, base, demonstrations=demonstrations.pk, **{"sft-adapter": "prefix"})
    answer = as_lead.post(URL, sent)
    assert "Prefix-Tuning stays beside the model" in answer.context["stages"]["sft"].errors["adapter"][0]
    assert "Prefix-Tuning stays beside the model" in answer.content.decode()
    assert not Round.objects.exists()


def test_a_policy_that_cannot_be_trained_further_says_so_in_the_list_and_when_it_is_chosen(
    as_lead: Client, project: Project, snapshot: Snapshot, base: Artifact
) -> None:
    manifest = {"config": {"adapter": "p_tuning"}}
    stuck = Artifact.objects.create(
        project=project, name="stuck", location="/x", is_adapter=True, parent=base, manifest=manifest
    )
    page = as_lead.get(URL).content.decode()
    assert "stuck (cannot be trained further: P-Tuning v1)" in page
    assert f'<option value="{base.pk}" selected>' in page, "the newest that can be"
    errors = as_lead.post(URL, least(snapshot, stuck)).context["form"].errors
    assert "cannot be trained further" in errors["base_policy"][0]


@pytest.mark.parametrize("wrong", [{"policy": "sft"}, {"policy": "x"}, {"demonstrations": "77"}, {"seed": "-1"}])
def test_nonsense_is_refused_at_its_field(
    as_lead: Client, snapshot: Snapshot, base: Artifact, wrong: dict[str, str]
) -> None:
    answer = as_lead.post(URL, least(snapshot, base, **wrong))
    assert answer.status_code == 200
    assert set(answer.context["form"].errors) == set(wrong)
    assert not Round.objects.exists()


def test_the_form_asks_the_database_no_more_for_many_models_than_for_one(
    as_lead: Client, project: Project, snapshot: Snapshot, base: Artifact, django_assert_max_num_queries: Any
) -> None:
    for number in range(6):
        Artifact.objects.create(
            project=project, name=f"m{number}", location="/x", is_adapter=number % 2 == 0, parent=base
        )
    with django_assert_max_num_queries(17):
        as_lead.get(URL)


def written(number: int, text: str = "So it is.") -> dict[str, Any]:
    prompt = [{"role": "user", "content": "How tall?"}]
    row = {"time": 1.0, "kind": "samples", "stage": "training", "step": number}
    return {**row, "samples": [{"prompt": prompt, "text": text, "reward": 0.25 * number}]}


@pytest.fixture
def ppo(project: Project, snapshot: Snapshot, base: Artifact) -> Run:
    """Under way, behind its reward model."""
    round = rounds.start_round(project, snapshot, base, policy="ppo", prompts=3)
    complete(round.runs.get(stage=0), {})
    return begin(round.runs.get(stage=1))


def test_a_round_of_ppo_shows_reward_against_kl_first_and_the_newest_samples(as_lead: Client, ppo: Run) -> None:
    write_progress(ppo, [step(1, reward=0.1, kl=0.0), written(1, "Old words."), written(2, "**New** words.")])
    page = as_lead.get(reverse("round", args=["garden", 1])).content.decode()
    figures = [part.split('"')[0] for part in page.split('data-metric="')[1:]]
    assert figures[:6] == ["reward", "kl", "length", "eos_rate", "explained_variance", "score"]
    assert 'data-against="kl"' in page and 'data-second="kl_coefficient"' in page
    assert "<strong>New</strong> words." in page and "Old words." not in page
    assert "plotly.min.js" in page and reverse("run_progress", args=["garden", ppo.pk]) in page


# What a step tells of itself; "truncated" is counted in the results.
OF_EVERY = (
    "reward reward_std score kl kl_coefficient length eos_rate entropy loss grad_norm learning_rate clip_fraction"
)
OF_PPO = "explained_variance policy_loss value_loss value_clip_fraction ratio approx_kl updates"


@pytest.mark.parametrize(
    ("recipe", "told"), [("ppo", OF_PPO), ("rloo", "groups_without_spread"), ("grpo", "groups_without_spread")]
)
def test_every_number_of_a_step_is_drawn_once_and_the_details_are_folded_away(recipe: str, told: str) -> None:
    found = curves_of(recipe)
    over_steps = [curve.metric for curve in found if not curve.against] + [c.second for c in found if c.second]
    numbers = sorted({*OF_EVERY.split(), *told.split()})
    assert sorted(name for name in over_steps if name in numbers) == numbers
    folded = {curve.metric for curve in found if curve.detail}
    assert {"grad_norm", "learning_rate", "loss"} <= folded
    assert not folded & {"reward", "kl", "groups_without_spread", "explained_variance"}


def test_what_the_clip_of_rloo_holds_back_are_responses_and_of_the_others_tokens() -> None:
    titles = {r: str(c.title) for r in ("ppo", "rloo", "grpo") for c in curves_of(r) if c.metric == "clip_fraction"}
    assert titles == {
        "ppo": "Share of clipped tokens",
        "rloo": "Share of clipped responses",
        "grpo": "Share of clipped tokens",
    }
    shared = shared_curves([Run(recipe="rloo"), Run(recipe="grpo"), Run(recipe="rloo")])
    [both] = [curve.title for curve in shared if curve.metric == "clip_fraction"]
    assert both == "Share of clipped responses · Share of clipped tokens"


def test_ktos_curves_are_of_single_votes_and_say_so_beside_those_of_pairs() -> None:
    titles = {curve.metric: str(curve.title) for curve in curves_of("kto")}
    assert titles["accuracy"] == "Share of votes on their side of the baseline"
    shared = {curve.metric: str(curve.title) for curve in shared_curves([Run(recipe="dpo"), Run(recipe="kto")])}
    assert shared["accuracy"] == f"Accuracy · {titles['accuracy']}"
    assert shared["margin"] == f"Margin · {titles['margin']}" and shared["loss"] == "Loss"


def test_details_stand_behind_a_disclosure_after_the_curves_that_one_looks_at_first(as_lead: Client, ppo: Run) -> None:
    write_progress(ppo, [step(1, reward=0.1, kl=0.0, value_loss=0.5)])
    page = as_lead.get(reverse("run", args=["garden", ppo.pk])).content.decode()
    before, folded = page.split("<summary>More curves</summary>")
    assert 'data-metric="reward"' in before and 'data-metric="value_loss"' not in before
    assert 'data-metric="value_loss"' in folded.split("</details>")[0]


def test_a_round_of_dpo_has_no_such_curves_and_loads_no_charts(as_lead: Client, round: Round) -> None:
    begin(round.runs.get(stage=0))
    assert "plotly" not in as_lead.get(reverse("round", args=["garden", 1])).content.decode()


def test_the_run_shows_what_it_wrote_over_time_page_by_page(as_lead: Client, ppo: Run) -> None:
    write_progress(ppo, [line for n in range(1, 9) for line in (step(n, reward=0.1), written(n, f"Words {n}."))])
    url = reverse("run", args=["garden", ppo.pk])
    newest = as_lead.get(url).content.decode()
    assert "Words 8." in newest and "Words 6." not in newest
    first = as_lead.get(url, {"page": 1}).content.decode()
    assert "Words 1." in first and "Words 3." in first and "Words 4." not in first
    assert "Reward 0.25" in first
    for nonsense in ("x", "0", "99"):
        assert as_lead.get(url, {"page": nonsense}).status_code == 200


def test_what_it_writes_appears_while_it_learns_and_only_then(as_lead: Client, ppo: Run) -> None:
    """Where nothing is new the page keeps what it has: an opened prompt stays open."""
    url = reverse("run", args=["garden", ppo.pk])
    asked = {"HTTP_HX_REQUEST": "true", "HTTP_HX_TARGET": "samples"}
    before = as_lead.get(url).content.decode()
    assert "written=0" in before and 'id="samples"' in before
    assert as_lead.get(url, {"state": ppo.state, "written": 0}, **asked).status_code == 204
    write_progress(ppo, [step(1, reward=0.1), written(1, "First words.")])
    fresh = as_lead.get(url, {"state": ppo.state, "written": 0}, **asked)
    part = fresh.content.decode()
    assert "First words." in part and "written=1" in part and "<h1" not in part and "hidden" not in part
    assert as_lead.get(url, {"state": ppo.state, "written": 1}, **asked).status_code == 204
    assert as_lead.get(url, {"state": "queued", "written": 1}, **asked).headers["HX-Refresh"] == "true"
    earlier = as_lead.get(url, {"page": 1}).content.decode()
    assert "written=" not in earlier, "who reads an earlier page is not taken away from it"
    runs.finish(ppo, RunState.CANCELLED)
    assert "written=" not in as_lead.get(url).content.decode()


def test_answers_to_held_out_prompts_have_no_reward(as_lead: Client, round: Round) -> None:
    run = begin(round.runs.get(stage=1))
    line = written(2, "An answer.")
    del line["samples"][0]["reward"]
    write_progress(run, [step(2, loss=0.5), line])
    page = as_lead.get(reverse("run", args=["garden", run.pk])).content.decode()
    assert "An answer." in page and "Reward " not in page


def test_a_script_in_a_sample_is_text_and_a_damaged_line_is_left_out(as_lead: Client, ppo: Run) -> None:
    bad = {**written(2), "samples": [{"prompt": "no list", "text": "Lost.", "reward": 1}]}
    lines = [written(1, "<script>alert(1)</script> **bold** \x00"), bad, {**written(3), "samples": "none"}]
    write_progress(ppo, lines)
    page = as_lead.get(reverse("run", args=["garden", ppo.pk])).content.decode()
    assert "<script>alert" not in page and "<strong>bold</strong>" in page
    assert "Lost." not in page


def test_without_javascript_the_figures_of_ppo_stand_in_the_table(as_lead: Client, ppo: Run) -> None:
    write_progress(ppo, [step(4, reward=0.4567, kl=3.21, eos_rate=0.75, explained_variance=-0.5)])
    page = as_lead.get(reverse("run", args=["garden", ppo.pk])).content.decode()
    for number in ("0.457", "3.21", "0.75", "−0.5"):
        assert f'<td class="num">{number}</td>' in page, number


def test_settings_that_do_not_count_are_not_listed_and_choices_have_their_names(as_lead: Client, ppo: Run) -> None:
    ppo.config |= {"adapter": "ia3"}
    ppo.save()
    page = as_lead.get(reverse("run", args=["garden", ppo.pk])).content.decode()
    assert "(IA)³" in page and "<dt>Rank</dt>" not in page and "<dt>KL coefficient</dt>" in page
