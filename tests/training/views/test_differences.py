"""Runs side by side: what differs in settings, data and results, and when no result may be compared."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from annotate.models import Project, Snapshot, User
from annotate.workflow.projects import create_project
from tests.training.views.test_runs_list import ended
from tests.training.workflow.test_probes import probed, tax
from training.models import Artifact, Run
from training.workflow import runs
from training.workflow.best import best_of
from training.workflow.differences import differences_of
from training.workflow.evaluation import Figure

pytestmark = pytest.mark.django_db


@pytest.fixture
def other(project: Project, snapshot: Snapshot) -> Snapshot:
    """Another state of the judgments."""
    rest = {"content_hash": "other", "query": {}, "guideline_versions": [], "folder": "/x", "counts": snapshot.counts}
    return Snapshot.objects.create(project=project, number=2, **rest)


def trained(project: Project, name: str, snapshot: Snapshot, low: float, high: float, **more: Any) -> Run:
    """A reward model whose accuracy lies between, or a run of another recipe with `figure`."""
    recipe, metric = more.pop("recipe", "reward"), more.pop("metric", "accuracy")
    config = more.pop("config", {})
    run = runs.create_run(project, recipe, config, name, snapshot=snapshot, **more)
    metrics = {metric: {"value": (low + high) / 2, "low": low, "high": high, "n": 40}}
    manifest = {"recipe": recipe, "metrics": metrics, "data": {"train": 24, "test": 6}}
    Artifact.objects.create(project=project, name=name, location="/x", run=run, manifest=manifest, task="reward")
    return run


def best(rows: list[Run]) -> list[list[bool]]:
    return [[cell.best for cell in cells] for _label, cells in differences_of(rows).results]


def page_of(client: Client, *rows: Run | str) -> str:
    numbers = [row.pk if isinstance(row, Run) else row for row in rows]
    answer = client.get(reverse("runs_compare", args=["garden"]), {"run": numbers})
    assert answer.status_code == 200
    return answer.content.decode()


def test_only_the_settings_that_differ_are_in_the_table_and_the_equal_ones_are_folded(
    project: Project, snapshot: Snapshot
) -> None:
    one = trained(project, "one", snapshot, 0.6, 0.7, config={"rank": 8, "epochs": 2})
    two = trained(project, "two", snapshot, 0.6, 0.7, config={"rank": 16, "epochs": 2}, seed=1)
    found = differences_of([one, two])
    assert [(row.name, row.values) for row in found.differing_settings] == [("rank", [8, 16])]
    assert "epochs" in [row.name for row in found.equal_settings]
    assert [row.name for row in found.data if row.differs] == ["seed"]


def test_a_setting_that_does_not_count_with_one_adapter_is_none_there(project: Project, snapshot: Snapshot) -> None:
    lora = trained(project, "lora", snapshot, 0.6, 0.7)
    prefix = trained(project, "prefix", snapshot, 0.6, 0.7, config={"adapter": "prefix"})
    rows = {row.name: row.values for row in differences_of([lora, prefix]).differing_settings}
    assert rows["adapter"] == ["lora", "prefix"] and rows["rank"] == [16, None]


def test_the_best_is_marked_only_where_the_intervals_lie_apart(project: Project, snapshot: Snapshot) -> None:
    low, high = trained(project, "low", snapshot, 0.5, 0.6), trained(project, "high", snapshot, 0.7, 0.8)
    middle = trained(project, "middle", snapshot, 0.58, 0.72)
    assert best([low, high]) == [[False, True]]
    assert best([low, high, middle]) == [[False, False, False]]


def test_with_another_snapshot_nothing_is_marked_and_the_page_says_why(
    as_lead: Client, project: Project, snapshot: Snapshot, other: Snapshot
) -> None:
    low, high = trained(project, "low", snapshot, 0.5, 0.6), trained(project, "high", other, 0.7, 0.8)
    assert best([low, high]) == [[False, False]]
    page = page_of(as_lead, low, high)
    assert "These runs learned from different data." in page and "not comparable" in page
    assert "different data" not in page_of(as_lead, low, trained(project, "same", snapshot, 0.7, 0.8))


def holding_out(run: Run, test: int, *dropped: str) -> Run:
    rows = [{"id": name, "why": "too long", "split": "test"} for name in dropped]
    run.artifact.manifest["data"] = {"train": 24, "test": test, "dropped": [*rows, {"id": "t", "split": "train"}]}
    run.artifact.save()
    return run


def test_figures_of_other_held_out_examples_are_not_compared_and_the_page_says_why(
    as_lead: Client, project: Project, snapshot: Snapshot
) -> None:
    """A smaller maximum length leaves out the longest, which may be the hardest."""
    whole = holding_out(trained(project, "whole", snapshot, 0.5, 0.6), 8)
    less = holding_out(trained(project, "less", snapshot, 0.7, 0.8, config={"max_length": 64}), 6, "a", "b")
    others = holding_out(trained(project, "others", snapshot, 0.9, 1.0), 6, "a", "c")
    alike = holding_out(trained(project, "alike", snapshot, 0.9, 1.0), 6, "b", "a")
    for rows in ([whole, less], [less, others]):
        assert best(rows) == [[False, False]]
        assert "not evaluated on the same held-out examples" in page_of(as_lead, *rows)
    assert best([less, alike]) == [[False, True]]
    page = page_of(as_lead, less, alike, runs.create_run(project, "reward", {}, "new", snapshot=snapshot))
    assert "not evaluated on the same" not in page, "of a run without a result nothing is known yet"


def test_a_margin_in_another_unit_is_nobodys_victory(project: Project, snapshot: Snapshot) -> None:
    def dpo(name: str, low: float, **config: Any) -> Run:
        return trained(project, name, snapshot, low, low + 0.1, recipe="dpo", metric="margin", config=config)

    assert best([dpo("a", 0.1), dpo("b", 0.9)]) == [[False, True]]
    assert best([dpo("c", 0.1, beta=0.1), dpo("d", 0.9, beta=0.5)]) == [[False, False]]
    assert best([dpo("e", 0.1), trained(project, "f", snapshot, 0.9, 1.0, recipe="kto", metric="margin")])[0] == [
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("recipe", "metric", "marked"),
    [
        ("orpo", "loss", False),
        ("orpo", "margin", False),
        ("simpo", "margin", False),
        ("simpo", "accuracy", True),
        ("dpo", "margin", True),
    ],
)
def test_what_is_per_token_is_compared_from_one_start_only(
    project: Project, snapshot: Snapshot, base: Artifact, recipe: str, metric: str, marked: bool
) -> None:
    other = Artifact.objects.create(project=project, name="other", location="/y", task="policy")

    def of(name: str, low: float, model: Artifact) -> Run:
        return trained(project, name, snapshot, low, low + 0.1, recipe=recipe, metric=metric, model=model)

    one, same, apart = of("one", 0.1, base), of("same", 0.5, base), of("apart", 0.5, other)
    assert sum(best([one, same])[0]) == 1
    assert sum(best([one, apart])[0]) == marked


@pytest.mark.parametrize(
    ("more", "compared"),
    [
        ({}, True),
        ({"uncertainty_weight": 2.0}, True),  # of a mean it takes nothing off
        ({"temperature": 0.5}, False),
        ({"max_new_tokens": 32}, False),
        ({"ensemble": "worst"}, False),
    ],
)
def test_policies_that_draw_or_are_rewarded_otherwise_are_not_compared_and_the_page_says_why(
    as_lead: Client, project: Project, snapshot: Snapshot, more: dict[str, Any], compared: bool
) -> None:
    def ppo(name: str, low: float, **config: Any) -> Run:
        return trained(project, name, snapshot, low, low + 0.1, recipe="ppo", metric="reward_gain", config=config)

    rows = [ppo("a", 0.1, learning_rate=0.0001), ppo("b", 0.9, **more)]
    assert best(rows) == [[False, compared]]
    assert ("or are rewarded by an ensemble, in different ways" in page_of(as_lead, *rows)) is not compared


@pytest.mark.parametrize(
    ("name", "figures", "winner"),
    [
        ("loss", [(0.5, 0.4, 0.6), (0.9, 0.8, 1.0)], 0),
        ("accuracy", [(0.5, 0.4, 0.6), (0.9, 0.8, 1.0)], 1),
        ("kl", [(0.5, 0.4, 0.6), (0.9, 0.8, 1.0)], None),
        ("accuracy", [(0.5, 0.4, 0.6), (0.9, 0.6, 1.0)], None),
        ("accuracy", [(0.5, 0.4, 0.6), (0.9, None, None)], None),
        ("accuracy", [(0.5, 0.4, 0.6), None], None),
    ],
)
def test_which_figure_is_best(name: str, figures: list[Any], winner: int | None) -> None:
    made = [Figure(name, name, *values, 40) if values else None for values in figures]
    assert best_of(made) is (None if winner is None else made[winner])


def test_the_page_shows_figures_with_intervals_and_the_curves_of_all(
    as_lead: Client, project: Project, snapshot: Snapshot
) -> None:
    low, high = trained(project, "low", snapshot, 0.5, 0.6), trained(project, "high", snapshot, 0.7, 0.8)
    page = page_of(as_lead, low, high)
    for words in ("75 %", "70–80 %", "n = 40", "All settings are equal.", ">best<"):
        assert words in page, words
    for run in (low, high):
        assert f'data-url="{reverse("run_progress", args=["garden", run.pk])}"' in page
        assert reverse("run_curves", args=["garden", run.pk, "csv"]) in page


def test_what_cannot_be_compared_is_told(as_lead: Client, project: Project, snapshot: Snapshot, lead: User) -> None:
    one = trained(project, "one", snapshot, 0.5, 0.6)
    elsewhere = create_project(slug="other", name="Other", manager=lead, guideline="x", summary="y")
    secret = runs.create_run(elsewhere, "sample", {}, "secret")
    page = page_of(as_lead, one, secret, "99999", "x", "²")
    assert "secret" not in page and f"The project has no run {secret.pk}, 99999." in page
    assert "Choose at least two runs" in page
    assert "There is no result yet" in page_of(as_lead, one, runs.create_run(project, "reward", {}, "new"))


def test_the_page_costs_the_same_for_two_runs_and_for_eight(
    as_lead: Client, project: Project, snapshot: Snapshot, django_assert_max_num_queries: Any
) -> None:
    rows = [trained(project, str(number), snapshot, 0.5, 0.6) for number in range(9)]
    with django_assert_max_num_queries(8):
        page = page_of(as_lead, *rows)
    assert "Only the first 8 runs are shown." in page


def test_only_members_who_may_see_runs_compare_them(
    client: Client, project: Project, ann: User, stranger: User
) -> None:
    run = ended(project, "mine", "sft", 1.0)
    for person, status in ((ann, 403), (stranger, 404)):
        client.force_login(person)
        assert client.get(reverse("runs_compare", args=["garden"]), {"run": run.pk}).status_code == status


def probed_run(project: Project, snapshot: Snapshot, name: str, tax: dict[str, Any], model: Artifact) -> Run:
    run = trained(project, name, snapshot, 0.1, 0.2, recipe="dpo", metric="margin", model=model)
    run.artifact.manifest["metrics"]["tax"] = tax
    run.artifact.save()
    return run


def test_what_was_unlearned_stands_side_by_side_and_the_best_is_marked_only_from_one_start(
    as_lead: Client, project: Project, snapshot: Snapshot, base: Artifact
) -> None:
    cheap = tax(per_byte=probed(-0.01, -0.015, 0.0))
    one, two = (
        probed_run(project, snapshot, "dear", tax(), base),
        probed_run(project, snapshot, "cheap", cheap, base),
    )
    questions, texts = differences_of([one, two]).tax
    assert (questions.name, questions.mark, texts.kind) == ("Mine", "", "texts")
    assert [cell.best for cell in questions.cells] == [False, True]
    assert [cell.best for cell in texts.cells] == [False, False]
    html = page_of(as_lead, one, two)
    assert "−10.0 points" in html and "×\xa01.200" in html and "no change shown" in html
    other = Artifact.objects.create(project=project, name="other", location="/y", task="policy")
    three = probed_run(project, snapshot, "of another start", cheap, other)
    assert not any(cell.best for row in differences_of([one, three]).tax for cell in row.cells)
    assert not differences_of(
        [trained(project, "a", snapshot, 0.1, 0.2), trained(project, "b", snapshot, 0.1, 0.2)]
    ).tax


def test_two_sets_of_one_name_are_two_lines_told_apart_by_their_hashes(
    project: Project, snapshot: Snapshot, base: Artifact
) -> None:
    changed = tax()
    changed["probes"][0]["hash"] = "another one"
    rows = [probed_run(project, snapshot, "one", tax(), base), probed_run(project, snapshot, "two", changed, base)]
    first, texts, second = differences_of(rows).tax
    assert (first.name, first.mark, second.name, second.mark) == ("Mine", "h", "Mine", "another ")
    assert [cell.change is None for cell in first.cells] == [False, True]
    assert [cell.change is None for cell in second.cells] == [True, False] and texts.mark == ""


def test_why_a_run_has_no_figures_is_said_once(as_lead: Client, project: Project, snapshot: Snapshot) -> None:
    known = trained(project, "known", snapshot, 0.6, 0.7)
    few = trained(project, "few", snapshot, 0.6, 0.7, recipe="dpo")
    why = "Only 0 held-out pair(s): too few to say anything."
    nothing = {"value": None, "low": None, "high": None, "n": 0, "note": why}
    Artifact.objects.filter(run=few).update(
        manifest={"recipe": "dpo", "metrics": dict.fromkeys(("margin", "accuracy", "loss"), nothing)}
    )
    rows = list(Run.objects.select_related("artifact").filter(pk__in=[known.pk, few.pk]).order_by("pk"))
    found = differences_of(rows)
    assert found.why_none[0] == "" and found.why_none[1]
    assert all(cells[1].figure is None for _label, cells in found.measured)
    assert len(found.measured) < len(found.results)
    assert page_of(as_lead, known, few).count(found.why_none[1]) == 1


def test_settings_that_only_some_have_are_folded_and_not_marked(
    as_lead: Client, project: Project, snapshot: Snapshot
) -> None:
    lora = trained(project, "lora", snapshot, 0.6, 0.7)
    prefix = trained(project, "prefix", snapshot, 0.6, 0.7, config={"adapter": "prefix"})
    context = as_lead.get(reverse("runs_compare", args=["garden"]), {"run": [lora.pk, prefix.pk]}).context
    assert [row.name for row in context["differing"]] == ["learning_rate", "adapter"]
    assert "rank" in [row.name for row in context["of_some"]]


def test_only_what_can_be_compared_is_offered_beside(as_lead: Client, project: Project, snapshot: Snapshot) -> None:
    one, _two = (trained(project, name, snapshot, 0.6, 0.7) for name in ("one", "two"))
    sampled, exported = (runs.create_run(project, recipe, {}, recipe) for recipe in ("sample", "export"))

    def offered(*chosen: Run) -> set[str]:
        address, numbers = reverse("runs_compare", args=["garden"]), [run.pk for run in chosen]
        return {run.name for run in as_lead.get(address, {"run": numbers}).context["others"]}

    assert offered(one) == {"two"}
    assert offered(one, sampled) == {"two"}
    assert offered(exported) == {"one", "two"}
    again = runs.create_run(project, "sample", {}, "again")
    assert offered(sampled) == {"one", "two", again.name}
