"""Ratings of a project's models: who made a response, what counts, what is left out, and why there is no rating."""

import numpy as np
import pytest

from annotate.models import Comparison, Judgment, Project, Response, User
from annotate.statistics.bradley_terry import bradley_terry
from annotate.statistics.paired_comparisons import PairedComparisons
from annotate.workflow.guidelines import current_version, mark_read, publish, save_draft
from annotate.workflow.intake import compare, open_batch, store_response
from tests.annotate.workflow.test_adjudication import decide
from tests.factories import judge_all, make_prompts
from tests.training.compared import bring, record, tournament
from training.models import Artifact, Run, Sample
from training.workflow import ratings as ratings_module
from training.workflow.label_value import label_value_of
from training.workflow.rating_filters import RatingFilters, WrongFilter, filters_from
from training.workflow.ratings import ratings_of

pytestmark = pytest.mark.django_db
STRENGTHS = {"alpha": 0.9, "beta": 0.8, "gamma": -1.0}
CODES = {"a": 0, "tie": 1, "b": 2}


def _names(found: dict) -> list[str]:
    return [row["model"] for row in found["ratings"]]


def test_ratings_are_those_of_the_model_over_all_judgments(project: Project) -> None:
    records = tournament(STRENGTHS, 120)
    bring(project, records)
    found = ratings_of(project=project)
    votes = [
        (each["model_a"], each["model_b"], CODES[said["choice"]], each["id"])
        for each in records
        for said in each["annotations"]
    ]
    first, second, labels, items = (list(column) for column in zip(*votes, strict=True))
    fit = bradley_terry(PairedComparisons.from_arrays(first, second, labels, items=items))
    by_name = {row["model"]: row["rating"]["value"] for row in found["ratings"]}
    assert [by_name[name] for name in ("alpha", "beta", "gamma")] == pytest.approx(fit.strength.tolist())
    assert (found["n_judgments"], found["n_comparisons"], found["n_annotators"]) == (240, 120, 2)
    assert found["tie"] == pytest.approx(fit.tie) and found["reason"] is None
    assert sum(row["wins"] for row in found["ratings"]) == sum(row["losses"] for row in found["ratings"])


def test_models_that_cannot_be_told_apart_are_a_group_and_elo_is_the_same_on_another_scale(project: Project) -> None:
    bring(project, tournament(STRENGTHS, 120))
    found = ratings_of(project=project)
    assert found["groups"][0] == _names(found)[:2] and found["groups"][1] == ["gamma"]
    assert [row["groups"] for row in found["ratings"]] == [[1], [1], [2]]
    for row in found["ratings"]:
        points = [1000 + 400 / np.log(10) * row["rating"][name] for name in ("value", "low", "high")]
        assert [row["elo"][name] for name in ("value", "low", "high")] == pytest.approx(points)


def test_win_rates_give_half_for_a_tie_and_count_a_comparison_once(project: Project) -> None:
    votes = (["a", "a"], ["b", "tie"], ["tie", "tie"])
    bring(project, [record(n, ("x", "y"), choices) for n, choices in enumerate(votes)])
    [pair] = ratings_of(project=project)["win_rates"]
    assert (pair["model"], pair["against"], pair["win_rate"]["n"]) == ("x", "y", 3)
    assert pair["win_rate"]["value"] == pytest.approx((1 + 0.25 + 0.5) / 3)
    assert pair["win_rate"]["low"] < 0.5 < pair["win_rate"]["high"]


def test_intervals_are_over_prompts_because_comparisons_of_one_share_its_responses(project: Project) -> None:
    """Twenty prompts, each with five comparisons in which the same model wins: no more is known than from twenty."""
    records = [
        record(5 * n + again, ("x", "y"), ["ab"[n % 3 == 0]], prompt=f"Prompt {n}")
        for n in range(20)
        for again in range(5)
    ]
    bring(project, records)
    found = ratings_of(project=project)
    assert (found["intervals_over"], found["n_prompts"], found["n_comparisons"]) == ("prompts", 20, 100)
    [pair] = found["win_rates"]
    assert pair["win_rate"]["n"] == 100 and pair["win_rate"]["high"] - pair["win_rate"]["low"] > 0.35
    rating = found["ratings"][0]["rating"]
    assert rating["low"] < 0 < rating["high"] or rating["high"] - rating["low"] > 0.8


def test_of_few_prompts_intervals_are_over_comparisons_and_say_so(project: Project) -> None:
    bring(project, [record(n, ("x", "y"), ["ab"[n % 3 == 0]], prompt=f"Prompt {n % 2}") for n in range(20)])
    found = ratings_of(project=project)
    assert (found["intervals_over"], found["n_prompts"], found["n_comparisons"]) == ("comparisons", 2, 20)


def test_the_model_that_never_lost_is_named_and_nothing_is_rated(project: Project) -> None:
    records = [record(n, ("best", "beta" if n % 2 else "gamma"), ["a"]) for n in range(8)]
    bring(project, [*records, record(20, ("beta", "gamma"), ["a"]), record(21, ("beta", "gamma"), ["b"])])
    found = ratings_of(project=project)
    assert "won, or lost, everything" in found["reason"]
    assert all(row["rating"]["value"] is None and row["elo"]["reason"] for row in found["ratings"])
    assert _names(found)[0] == "best" and len(found["win_rates"]) == 3
    named = {tuple(part["models"]): (part["wins"], part["losses"]) for part in found["parts"]}
    assert named == {("best",): (True, False), ("beta", "gamma"): (False, True)}


def test_groups_that_never_met_are_named(project: Project) -> None:
    pairs = [("a1", "a2"), ("a2", "a1"), ("b1", "b2"), ("b2", "b1")]
    bring(project, [record(n, pair, ["a"]) for n, pair in enumerate(pairs)])
    found = ratings_of(project=project)
    assert "never compared" in found["reason"]
    assert sorted(part["models"] for part in found["parts"]) == [["a1", "a2"], ["b1", "b2"]]
    assert not any(part["wins"] or part["losses"] for part in found["parts"])


@pytest.mark.parametrize(
    ("records", "reason", "left_out"),
    [
        ([], "there are no judgments", {}),
        ([record(0, None, ["a"]), record(1, None, ["b", "a"])], "two different players", {"unnamed": 3}),
        ([record(0, ("x", "x"), ["a", "b"])], "two different players", {"same_model": 2}),
        ([record(0, ("x", "y"), ["tie", "tie"])], "every comparison is a tie", {}),
    ],
)
def test_what_cannot_be_rated_is_counted_and_says_why(
    project: Project, records: list, reason: str, left_out: dict
) -> None:
    if records:
        bring(project, records)
    found = ratings_of(project=project)
    assert reason in found["reason"] and found["position"]["value"] is None
    assert {name: n for name, n in found["left_out"].items() if n} == left_out


def _sampled(project: Project, artifacts: list[Artifact], n: int, batch: str, number: int | None = None) -> list:
    """n comparisons of the artifacts' samples, the first's as A."""
    run = Run.objects.create(project=project, recipe="sample", name="Samples", state="succeeded")
    opened = open_batch(project=project, name=batch, round_number=number)
    made = []
    for prompt in make_prompts(project, n, start=100 * run.pk):
        sides = []
        for place, artifact in enumerate(artifacts):
            response = store_response(prompt=prompt, text=f"Says {place}", source=artifact.name, key=str(place))
            Sample.objects.create(response=response, run=run, artifact=artifact, tokens=3, finished=True)
            sides.append(response)
        made.append(compare(batch=opened, prompt=prompt, response_a=sides[0], response_b=sides[1], key=f"s{prompt.pk}"))
    return made


@pytest.fixture
def two(project: Project) -> list[Artifact]:
    return [Artifact.objects.create(project=project, name=name, location=f"owner/{name}") for name in ("new", "old")]


def test_a_sample_is_of_its_artifact_whatever_the_name_says_now(
    project: Project, two: list[Artifact], ann: User
) -> None:
    _sampled(project, two, 4, "First")
    judge_all(project, ann, ["a", "b", "a", "tie"])
    Artifact.objects.filter(pk=two[1].pk).update(name="new", deleted_at="2026-01-01T00:00Z")
    found = ratings_of(project=project)
    assert {(row["model"], row["artifact"]) for row in found["ratings"]} == {
        (f"new (#{artifact.pk})", artifact.pk) for artifact in two
    }


def test_an_import_that_names_a_model_of_the_project_means_that_model(project: Project, two: list[Artifact]) -> None:
    bring(project, [record(0, ("new", "elsewhere"), ["a"]), record(1, ("elsewhere", "new"), ["a"])])
    found = ratings_of(project=project)
    assert {(row["model"], row["artifact"]) for row in found["ratings"]} == {("new", two[0].pk), ("elsewhere", None)}


def test_filters_take_rounds_tags_versions_and_surplus(
    project: Project, two: list[Artifact], ann: User, lead: User
) -> None:
    first = _sampled(project, two, 4, "Round 1", 1)
    judge_all(project, ann, ["a", "b", "a", "b"])
    save_draft(project=project, body="Be brief.", actor=lead)
    publish(project=project, summary="Brief", actor=lead)
    _sampled(project, two, 2, "Round 2", 2)
    judge_all(project, ann, ["a", "b"])
    bring(project, [record(0, ("new", "old"), ["a", "b"], tags=["hard"])])
    first[0].judgments.update(is_surplus=True)
    Comparison.objects.filter(pk=first[0].pk).update(judged=0, votes_a=0)

    def counted(**given: str) -> int:
        return ratings_of(project=project, filters=filters_from(given))["n_judgments"]

    assert counted() == 7 and counted(surplus="1") == 8
    assert (counted(round="1"), counted(round="2"), counted(round="none")) == (3, 2, 2)
    assert (counted(guideline="v1"), counted(guideline="2"), counted(guideline="none")) == (3, 2, 2)
    assert (counted(tag="hard"), counted(tag="other"), counted(round="1", surplus="true")) == (2, 0, 4)
    options = ratings_of(project=project, filters=RatingFilters(round="1"))["options"]
    assert options == {"rounds": [1, 2, None], "tags": ["hard"]}


@pytest.mark.parametrize("given", [{"round": "x"}, {"guideline": "-1"}, {"criterion": "tone"}, {"surplus": "maybe"}])
def test_a_filter_that_means_nothing_is_refused_by_its_name(given: dict) -> None:
    with pytest.raises(WrongFilter) as refused:
        filters_from(given)
    assert refused.value.where == next(iter(given))


def test_the_side_shown_first_shows_when_it_draws_votes(project: Project, two: list[Artifact], ann: User) -> None:
    """Whoever stands on the left is preferred nine times of ten."""
    made = _sampled(project, two, 40, "First")
    judge_all(project, ann, ["a"] * 40)
    for number, comparison in enumerate(made):
        flipped, left_wins = number % 4 > 1, number % 10 > 0
        choice = "b" if flipped == left_wins else "a"
        comparison.judgments.update(flipped=flipped, choice=choice)
    position = ratings_of(project=project)["position"]
    assert position["value"] == pytest.approx(0.9, abs=0.03) and position["low"] > 0.5 and position["n"] == 40
    low, value, high = (np.log(position[name] / (1 - position[name])) for name in ("low", "value", "high"))
    assert value - low == pytest.approx(high - value)
    said = Judgment.objects.filter(comparison__in=made).values_list("choice", "flipped")
    label, flipped = zip(*said, strict=True)
    sides = {"position": np.where(flipped, -1, 1)}
    games = PairedComparisons.from_arrays([0] * 40, [1] * 40, [CODES[each] for each in label], effects=sides)
    fit = bradley_terry(games)
    assert (high - low) / 2 == pytest.approx(2.026 * np.sqrt(fit.covariance[-1, -1]), rel=1e-3), "t of 40 - 2 - 1"


def test_of_thousands_of_names_the_most_compared_are_rated(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratings_module, "MOST_MODELS", 2)
    records = [record(n, ("x", "y"), ["ab"[n % 2]]) for n in range(6)]
    bring(project, [*records, record(9, ("x", "rare"), ["a"])])
    found = ratings_of(project=project)
    assert sorted(_names(found)) == ["x", "y"] and found["left_out"]["beyond_the_most_compared"] == 1


def test_whatever_the_size_three_queries_read_it(
    project: Project, two: list[Artifact], django_assert_num_queries: object
) -> None:
    bring(project, tournament(STRENGTHS, 10))
    assert Response.objects.count() == 20
    with django_assert_num_queries(3):
        ratings_of(project=project)


def test_judgments_of_bad_items_are_left_out_and_counted(project: Project, lead: User) -> None:
    bring(project, [record(n, ("x", "y"), ["a", "b" if n else "a"], tags=["t"] if n else []) for n in range(3)])
    first, second, _third = project.comparisons.order_by("id")
    mark_read(version=current_version(project), user=lead)
    decide(first, lead, "bad", reason="broken")
    decide(second, lead, "a")
    found = ratings_of(project=project)
    assert (found["n_judgments"], found["n_comparisons"], found["left_out"]["bad"]) == (4, 2, 2)
    tagged = ratings_of(project=project, filters=RatingFilters(tag="t"))
    assert (tagged["n_comparisons"], tagged["left_out"]["bad"]) == (2, 0), "the filters did not take it anyway"
    value = label_value_of(project=project)
    assert (value["n_judgments"], value["n_comparisons"], value["n_bad"]) == (4, 2, 1)
