"""The list of rounds, the form that starts one, and the page that follows it."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from annotate.models import Project, Role, Snapshot, User
from annotate.workflow.projects import create_project, set_member
from annotate.workflow.snapshots import freeze
from tests.factories import judge, make_comparisons
from tests.training.views.conftest import begin, complete, figure, step
from training.models import Artifact, Round, RunState
from training.workflow import rounds, runs
from training.workflow.rounds import default_configs

pytestmark = pytest.mark.django_db


def filled(snapshot: Snapshot, base: Artifact, **changed: Any) -> dict[str, Any]:
    """The form as it comes, sent back."""
    fields = {"snapshot": snapshot.pk, "base_policy": base.pk, "fresh_prompts": 3, "seed": 7, "score_samples": "on"}
    settings = {
        f"{recipe}-{name}": value for recipe, config in default_configs().items() for name, value in config.items()
    }
    return {name: value for name, value in {**fields, **settings, **changed}.items() if value is not None}


def test_the_form_as_it_comes_starts_a_round_with_its_three_stages(
    as_lead: Client, project: Project, snapshot: Snapshot, base: Artifact
) -> None:
    answer = as_lead.post(reverse("round_create", args=["garden"]), filled(snapshot, base, **{"dpo-beta": "0.3"}))
    assert answer.status_code == 302, answer.context["form"].errors
    started = Round.objects.get(project=project)
    stages = list(started.runs.order_by("stage"))
    assert [stage.recipe for stage in stages] == ["reward", "dpo", "sample"]
    assert [stage.state for stage in stages] == [RunState.QUEUED, RunState.WAITING, RunState.WAITING]
    assert stages[1].config["beta"] == 0.3
    assert {stage.seed for stage in stages} == {7}
    assert len(stages[2].prompt_ids) == 3
    assert answer.url == reverse("round", args=["garden", started.number])


def test_a_stage_whose_learning_rate_is_left_empty_gets_that_of_its_adapter(
    as_lead: Client, snapshot: Snapshot, base: Artifact
) -> None:
    url = reverse("round_create", args=["garden"])
    rate = as_lead.get(url).context["stages"]["dpo"]["learning_rate"]
    assert rate.value() is None and 'placeholder="0.00005"' in str(rate)
    sent = filled(snapshot, base, **{"reward-adapter": "full", "dpo-learning_rate": "0.00005", "dpo-adapter": "full"})
    assert as_lead.post(url, sent).status_code == 302
    stages = Round.objects.get().runs.order_by("stage")
    assert [stage.config.get("learning_rate") for stage in stages] == [2e-5, 5e-5, None]


def test_a_setting_out_of_range_is_named_and_nothing_is_started(
    as_lead: Client, snapshot: Snapshot, base: Artifact
) -> None:
    answer = as_lead.post(reverse("round_create", args=["garden"]), filled(snapshot, base, **{"reward-epochs": "0"}))
    page = answer.content.decode()
    assert "A setting of “Reward model” cannot be used" in page
    assert "greater than or equal to 1" in page
    assert not Round.objects.exists()


def test_an_error_in_an_advanced_setting_opens_the_place_where_it_hides(
    as_lead: Client, snapshot: Snapshot, base: Artifact
) -> None:
    url = reverse("round_create", args=["garden"])
    assert 'details class="box" open' not in as_lead.get(url).content.decode()
    answer = as_lead.post(url, filled(snapshot, base, **{"dpo-label_smoothing": "0.9"}))
    assert answer.content.decode().count('details class="box" open') == 1


def test_too_few_labels_are_refused_with_the_numbers_and_what_to_do(
    as_lead: Client, project: Project, base: Artifact, ann: User
) -> None:
    project.overlap = 1
    project.save()
    make_comparisons(project, 3)
    for _number in range(3):
        judge(project, ann, "a")
    poor = freeze(project=project)[0]
    page = as_lead.post(reverse("round_create", args=["garden"]), filled(poor, base)).content.decode()
    assert "has too few labels: 3 pairs won by A and 0 by B" in page
    assert "Judge more, then freeze again." in page
    assert not Round.objects.exists()


def test_without_a_snapshot_the_form_says_what_to_do_first(as_lead: Client, project: Project, base: Artifact) -> None:
    page = as_lead.get(reverse("round_create", args=["garden"])).content.decode()
    assert "There is no snapshot yet" in page
    assert reverse("snapshots", args=["garden"]) in page


def test_the_form_offers_nothing_of_another_project(
    as_lead: Client, snapshot: Snapshot, base: Artifact, lead: User
) -> None:
    other = create_project(slug="other", name="Other", manager=lead, guideline="x", summary="y")
    foreign = Artifact.objects.create(project=other, name="foreign", location="owner/foreign")
    url = reverse("round_create", args=["garden"])
    assert "foreign" not in as_lead.get(url).content.decode()
    assert as_lead.post(url, filled(snapshot, foreign)).context["form"].errors["base_policy"]
    assert not Round.objects.exists()


def test_only_a_manager_starts_rounds_and_a_reviewer_looks(
    client: Client, project: Project, round: Round, ann: User, reviewer: User, stranger: User
) -> None:
    pages = [reverse("rounds", args=["garden"]), reverse("round", args=["garden", 1])]
    create = reverse("round_create", args=["garden"])
    expected = {reviewer: (200, 403), ann: (403, 403), stranger: (404, 404)}
    for person, (look, start) in expected.items():
        client.force_login(person)
        assert [client.get(page).status_code for page in pages] == [look, look], person
        assert client.get(create).status_code == client.post(create).status_code == start, person
    client.force_login(reviewer)
    assert create not in client.get(pages[0]).content.decode()
    set_member(project=project, user=reviewer, role=Role.MANAGER)
    assert create in client.get(pages[0]).content.decode()


def test_the_page_shows_the_progress_of_the_stage_under_way(as_lead: Client, round: Round) -> None:
    first = round.runs.get(stage=0)
    begin(first)
    runs.beat(first, step(4, loss=0.5))
    page = as_lead.get(reverse("round", args=["garden", 1])).content.decode()
    assert "4 / 10" in page
    assert "about 1\xa0min\xa030\xa0s left" in page
    assert 'hx-trigger="every 3s"' in page


def test_the_stages_alone_are_sent_while_the_round_goes_on_and_the_page_anew_when_a_stage_ends(
    as_lead: Client, round: Round
) -> None:
    url = reverse("round", args=["garden", 1])
    asking = {"headers": {"HX-Request": "true", "HX-Target": "stages"}}
    part = as_lead.get(url, {"done": 0}, **asking)
    assert part.content.decode().strip().startswith('<section id="stages"')
    assert "HX-Refresh" not in part.headers
    complete(round.runs.get(stage=0), {})
    assert as_lead.get(url, {"done": 0}, **asking).headers["HX-Refresh"] == "true"


def test_results_stand_with_interval_and_n_beside_longer_wins_and_chance(as_lead: Client, round: Round) -> None:
    names = ("accuracy", "accuracy_longer_wins", "accuracy_chance")
    complete(round.runs.get(stage=0), dict(zip(names, map(figure, (0.83, 0.55, 0.5)), strict=True)))
    complete(round.runs.get(stage=1), {"margin": figure(0.31), "kl": figure(0.02)})
    page = as_lead.get(reverse("round", args=["garden", 1])).content.decode()
    for words in (
        "83 %",
        "73–93 %",
        "n = 40",
        "the longer one wins",
        "Accuracy of chance",
        "0.31",
        "0.21 to 0.41",
        "KL",
    ):
        assert words in page, words


def test_where_there_is_too_little_to_say_the_page_says_so_once(as_lead: Client, round: Round) -> None:
    complete(round.runs.get(stage=0), {"accuracy": figure(None, n=2), "margin": figure(None, n=2)})
    page = as_lead.get(reverse("round", args=["garden", 1])).content.decode()
    assert page.count("<p>Only 2 held-out pairs: too few to say anything.</p>") == 1
    assert "Judge more comparisons, freeze them, and start another round" in page
    assert 'class="stats"' not in page


def test_a_failed_stage_ends_the_asking_and_a_resumed_one_begins_it_again(as_lead: Client, round: Round) -> None:
    first = begin(round.runs.get(stage=0))
    runs.finish(first, RunState.FAILED, reason="It broke.", hint="Mend it.")
    url = reverse("round", args=["garden", 1])
    page = as_lead.get(url).content.decode()
    assert "It broke." in page and "Mend it." in page
    assert "hx-trigger" not in page
    rounds.resume(first)
    assert "hx-trigger" in as_lead.get(url).content.decode()


def test_the_batch_of_new_comparisons_is_linked_as_soon_as_it_is_there(as_lead: Client, round: Round) -> None:
    url = reverse("round", args=["garden", 1])
    assert "?batch=" not in as_lead.get(url).content.decode()
    complete(round.runs.get(stage=0), {})
    complete(round.runs.get(stage=1), {})
    round.refresh_from_db()
    assert f"?batch={round.batch_id}" in as_lead.get(url).content.decode()


def test_the_list_asks_the_database_no_more_for_many_rounds_than_for_one(
    as_lead: Client, project: Project, snapshot: Snapshot, base: Artifact, django_assert_max_num_queries: Any
) -> None:
    for _number in range(6):
        rounds.start_round(project, snapshot, base, prompts=2)
    with django_assert_max_num_queries(9):
        page = as_lead.get(reverse("rounds", args=["garden"])).content.decode()
    assert page.count('<span class="badge info">Queued</span>') == 6
