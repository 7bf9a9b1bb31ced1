"""What the pages of run, round and model say of a reward model: what its accuracy stands beside, where it is right."""

from itertools import pairwise
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from annotate.models import Project
from tests.training.views.conftest import complete, figure
from training.models import Artifact, Round
from training.workflow.card_facts import card_for
from training.workflow.evaluation import details_of, figures_of

pytestmark = pytest.mark.django_db


def undefined(template: str, **values: int) -> dict[str, Any]:
    words = {"template": template, "values": values}
    return {"value": None, "low": None, "high": None, "n": values["n"], "reason": template % values, "words": words}


def reward_metrics(bins: int = 5) -> dict[str, Any]:
    """Of a model that was measured on forty pairs in every respect."""
    edges = [0.5 + i / (2 * bins) for i in range(bins + 1)]
    rows = [
        {
            "low": a,
            "high": b,
            "confidence": (a + b) / 2,
            "accuracy": a,
            "accuracy_low": a - 0.2,
            "accuracy_high": b,
            "n": 8,
        }
        for a, b in pairwise(edges)
    ]
    ceiling = {**figure(0.77), "model": figure(0.81), "model_as_annotator": figure(0.71), "two_votes": 12}
    return {
        "accuracy": figure(0.83),
        "accuracy_longer_wins": figure(0.61),
        "accuracy_chance": figure(0.5),
        "human_ceiling": ceiling,
        "accuracy_similar_length": undefined("Only %(n)s held-out pair(s) of similar length.", n=3),
        "accuracy_length_controlled": figure(0.72),
        "accuracy_new_annotators": undefined("The data do not say who judged.", n=0),
        "by_strength": [{"name": "weak", **figure(0.6)}, {"name": "strong", **figure(0.9)}],
        "by_votes": [{"name": "unanimous", **figure(0.88)}, {"name": "split", **figure(0.64)}],
        "by_tag": [{"name": f"tag <{i}>", **figure(0.7, n=30 - i)} for i in range(15)],
        "by_language": [{"name": "zh", **figure(0.79)}],
        "margin": figure(0.31),
        "loss": figure(0.45),
        "calibration": {
            "ece": figure(0.084),
            "ece_if_calibrated": figure(0.05),
            "bins": rows,
            "brier": figure(0.19),
        },
    }


def _pages(client: Client, round: Round, metrics: dict[str, Any]) -> dict[str, str]:
    artifact = complete(round.runs.get(stage=0), metrics)
    places = {
        "run": reverse("run", args=["garden", artifact.run_id]),
        "round": reverse("round", args=["garden", 1]),
        "model": reverse("model", args=["garden", artifact.pk]),
    }
    return {name: client.get(place).content.decode() for name, place in places.items()}


def test_accuracy_stands_beside_length_chance_and_people_before_everything_else(as_lead: Client, round: Round) -> None:
    for name, page in _pages(as_lead, round, reward_metrics()).items():
        tiles = ["Held-out accuracy", "the longer one wins", "Accuracy of chance", "Human ceiling"]
        places = [page.index(f"{words}") for words in (*tiles, "Where it is right", "Length", "Expected calibration")]
        assert places == sorted(places), name
        for words in ("77 %", "67–87 %", "0.084", "0.31"):
            assert words in page, (name, words)


def test_each_kind_of_pair_has_its_row_and_what_is_not_known_says_why(as_lead: Client, round: Round) -> None:
    page = _pages(as_lead, round, reward_metrics())["run"]
    rows = page.split('<table class="figures grouped">')[1].split("</table>")[0]
    for words in ("72 %", "62–82 %", "weak: slightly better, or votes up to 2 to 1", "90 %", "votes were split", "zh"):
        assert words in rows, words
    assert "Only 3 held-out pair(s) of similar length." in rows
    assert rows.count("The data do not say who judged.") == 1, "once for a group without rows"
    assert "medium" not in rows
    assert rows.index("strong:") < rows.index("weak:")


def test_people_held_out_have_a_tile_and_a_row_that_says_how_many_they_are(as_lead: Client, round: Round) -> None:
    metrics = {**reward_metrics(), "accuracy_new_annotators": {**figure(0.58), "people": 3}}
    for name, page in _pages(as_lead, round, metrics).items():
        assert page.index("Human ceiling") < page.index("Accuracy on annotators held out") < page.index("58 %"), name
        assert "by the votes of the 3 annotators held out alone" in page, name
        assert "judged by nobody who judged" not in page, name
    artifact = Artifact.objects.get(project__slug="garden", run__recipe="reward")
    assert "| Accuracy on annotators held out\\, by their votes alone | 58.0 % | 48.0 to 68.0 % | 40 |" in card_for(
        artifact
    )
    artifact.manifest["metrics"] = {**metrics, "accuracy_new_annotators": figure(0.58)}
    assert "accuracy_new_annotators" not in [one.name for one in figures_of(artifact)], (
        "who is new by chance is a detail"
    )


def test_names_of_tags_are_text_and_the_smallest_of_many_are_left_to_the_manifest(
    as_lead: Client, round: Round
) -> None:
    page = _pages(as_lead, round, reward_metrics())["round"]
    assert "tag &lt;11&gt;" in page and "tag <" not in page and "tag &lt;12&gt;" not in page
    assert "3 smaller groups are not shown; the manifest has all." in page
    assert "12 of the 40 pairs of the human ceiling have two votes" in page


def test_the_reliability_is_a_table_that_the_plot_is_drawn_from(as_lead: Client, round: Round) -> None:
    for page in _pages(as_lead, round, reward_metrics(bins=4)).values():
        assert page.count('<tr data-confidence="0.') == 4
        assert 'data-right="0.625"' in page
        assert page.index("plotly.min.js") < page.index("reliability.js")


def test_without_enough_pairs_for_calibration_there_is_no_plot_and_no_library_for_it(
    as_lead: Client, round: Round
) -> None:
    few = undefined("Only %(n)s held-out pair(s): calibration needs at least %(enough)s.", n=20, enough=40)
    calibration = {"ece": few, "ece_if_calibrated": few, "bins": [], "brier": figure(0.2)}
    pages = _pages(as_lead, round, {**reward_metrics(), "calibration": calibration})
    for name, page in pages.items():
        assert "Only 20 held-out pair(s): calibration needs at least 40." in page, name
        assert "reliability" not in page, name
    assert "plotly" not in pages["round"] + pages["model"]


def test_the_reason_is_told_in_the_readers_language(as_lead: Client, round: Round) -> None:
    few = undefined("Only %(n)s held-out pair(s) of similar length: at least %(enough)s are needed.", n=3, enough=10)
    metrics = {**reward_metrics(), "accuracy_length_controlled": few}
    artifact = complete(round.runs.get(stage=0), metrics)
    url = reverse("model", args=["garden", artifact.pk])
    assert few["reason"] in as_lead.get(url).content.decode()
    chinese = as_lead.get(url, headers={"Accept-Language": "zh-hans"}).content.decode()
    assert "长度相近的留出偏好对只有 3 个" in chinese and few["reason"] not in chinese


def test_a_model_measured_by_an_earlier_version_is_shown_with_what_it_has(as_lead: Client, round: Round) -> None:
    old = {name: figure(0.7) for name in ("accuracy", "accuracy_longer_wins", "accuracy_chance", "margin", "loss")}
    for page in _pages(as_lead, round, old).values():
        assert "Held-out accuracy" in page and "Held-out loss" in page
        assert "Human ceiling" not in page and "Where it is right" not in page


def test_policies_and_unmeasured_models_have_no_such_details(project: Project) -> None:
    unmeasured = {"recipe": "reward", "metrics": {**reward_metrics(), "accuracy": figure(None, n=2)}}
    assert details_of(Artifact(manifest=unmeasured)) is None
    assert details_of(Artifact(manifest={"recipe": "dpo", "metrics": reward_metrics()})) is None
    assert details_of(Artifact(manifest={})) is None
    assert all(one.is_share for one in figures_of(Artifact(manifest={"recipe": "reward", "metrics": reward_metrics()})))
