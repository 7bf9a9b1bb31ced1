"""The value of labels of a project: gains with the stop rule, and reward models that learned from more or less."""

from typing import Any

import pytest

from annotate.models import Project, Snapshot
from annotate.workflow.snapshots import freeze
from tests.training.compared import bring, record, tournament
from tests.training.workflow.products import finished
from training.models import Artifact
from training.workflow.label_value import WrongWorth, label_value_of, with_advice, worth_from

pytestmark = pytest.mark.django_db
STRENGTHS = {"alpha": 0.5, "beta": -0.5}


def test_what_more_judgments_bring_grows_and_carries_the_curve_on(project: Project) -> None:
    bring(project, tournament(STRENGTHS, 60, votes=4))
    found = label_value_of(project=project)
    assert (found["n_judgments"], found["n_comparisons"], found["judgments_per_comparison"]) == (240, 60, 4.0)
    assert [row["votes"] for row in found["labels"]] == [2, 3, 4]
    gains = [row["gain"]["value"] for row in found["more"]]
    assert gains[0] == 0 and gains == sorted(gains) and len(gains) == 6
    assert found["more"][0]["accuracy"] == pytest.approx(found["labels"][-1]["accuracy"]["value"])
    assert [(row["votes"], row["simulated"]) for row in found["agreement"]][-3:] == [(4, False), (5, True), (6, True)]
    assert all(row["accuracy"]["low"] < row["accuracy"]["value"] < row["accuracy"]["high"] for row in found["labels"])


def test_the_stop_rule_depends_on_what_a_right_label_is_worth(project: Project) -> None:
    bring(project, tournament(STRENGTHS, 60, votes=3))
    body = label_value_of(project=project)
    cheap, dear = with_advice(body, 2.0), with_advice(body, 1000.0)
    assert (cheap["advice"]["verdict"], cheap["advice"]["more"]) == ("stop", 0)
    assert dear["advice"]["verdict"] == "go_on" and dear["advice"]["more"] == 5
    assert dear["advice"]["gain"] == body["more"][5]["gain"]["value"] and dear["worth"] == 1000.0


@pytest.mark.parametrize("records", [[], [record(n, ("x", "y"), ["a"]) for n in range(3)]])
def test_without_two_people_on_a_comparison_nothing_is_known(project: Project, records: list) -> None:
    if records:
        bring(project, records)
    found = with_advice(label_value_of(project=project))
    assert found["reason"] and found["more"] == [] and found["advice"] is None


def test_labels_that_are_all_alike_are_no_certainty(project: Project) -> None:
    bring(project, [record(n, ("x", "y"), ["a", "b"]) for n in range(5)])
    found = label_value_of(project=project)
    assert found["labels"][0]["accuracy"]["high"] - found["labels"][0]["accuracy"]["low"] > 0.3
    assert found["more"][3]["gain"]["low"] < found["more"][3]["gain"]["value"] < found["more"][3]["gain"]["high"]


@pytest.mark.parametrize("text", ["0", "-3", "dear", "nan", "inf", "1e9"])
def test_a_worth_that_is_no_number_above_0_is_refused(text: str) -> None:
    with pytest.raises(WrongWorth, match="cannot be worth"):
        worth_from({"worth": text})
    assert worth_from({}) == 20


@pytest.fixture
def snapshot(project: Project) -> Snapshot:
    bring(project, tournament(STRENGTHS, 40))
    return freeze(project=project)[0]


@pytest.fixture
def base(project: Project) -> Artifact:
    return Artifact.objects.create(project=project, name="base", location="owner/base")


def _trained(base: Artifact, snapshot: Snapshot, pairs: int, accuracy: float | None, **more: Any) -> Artifact:
    figure = {"value": accuracy, "low": None, "high": None, "n": 90}
    if accuracy is not None:
        figure |= {"low": accuracy - 0.02, "high": accuracy + 0.02}
    data = {"train": pairs, "test": 90, "dropped": []}
    facts = {"name": f"Reward on {pairs}", "data": data, "metrics": {"accuracy": figure}, **more}
    return finished(base.project, base, "reward", snapshot=snapshot, **facts)


def test_three_sizes_of_like_runs_make_a_curve(project: Project, base: Artifact, snapshot: Snapshot) -> None:
    for pairs, accuracy in ((100, 0.6), (200, 0.66), (400, 0.7)):
        _trained(base, snapshot, pairs, accuracy)
    _trained(base, snapshot, 800, 0.5, config={"epochs": 7}, name="With other settings")
    _trained(base, snapshot, 3, None, name="Too little held out")
    found = label_value_of(project=project)["reward_models"]
    assert [(point["pairs"], point["accuracy"]["value"]) for point in found["points"]] == [
        (100, 0.6),
        (200, 0.66),
        (400, 0.7),
    ]
    assert (found["n_runs"], found["n_sizes"], found["reason"]) == (4, 3, None)
    assert [(row["times"], row["pairs"]) for row in found["more"]] == [(1.5, 600), (2.0, 800), (4.0, 1600)]
    assert all(0 < row["gain"]["low"] < row["gain"]["value"] < row["gain"]["high"] for row in found["more"])


def test_fewer_sizes_are_said_plainly(project: Project, base: Artifact, snapshot: Snapshot) -> None:
    assert label_value_of(project=project)["reward_models"]["n_runs"] == 0
    _trained(base, snapshot, 100, 0.6)
    _trained(base, snapshot, 200, 0.65)
    found = label_value_of(project=project)["reward_models"]
    assert "three sizes" in found["reason"] and found["more"] == [] and len(found["points"]) == 2
