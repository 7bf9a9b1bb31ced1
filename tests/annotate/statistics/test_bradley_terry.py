"""Bradley-Terry: published strengths, ties, effects, and comparisons that have no maximum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.statistics.bradley_terry import BradleyTerry, bradley_terry
from annotate.statistics.estimate import Reason, Undefined
from annotate.statistics.judgments import TIE, A, B
from annotate.statistics.paired_comparisons import PairedComparisons
from annotate.statistics.tie_models import TIE_MODELS, TieModel, probabilities, slopes

from . import published
from .games import games

STRENGTH = np.array([1.0, 0.4, 0.0, -0.5, -0.9])
TIE_OF = {"plain": 0.0, "davidson": -0.3, "rao_kupper": 0.4}


def citations() -> tuple[dict, BradleyTerry, PairedComparisons]:
    entry = published.entry("bt_citations")
    winners, losers, times = zip(*entry["wins"], strict=True)
    comparisons = PairedComparisons.from_arrays(
        np.repeat(winners, times), np.repeat(losers, times), np.full(sum(times), A)
    )
    return entry, bradley_terry(comparisons, "plain"), comparisons


def test_the_journals_have_their_published_strengths_and_errors() -> None:
    entry, found, comparisons = citations()
    names = comparisons.players.tolist()
    reference = names.index("Biometrika")
    for name in names:
        i = names.index(name)
        ability = found.strength[i] - found.strength[reference]
        assert ability == pytest.approx(entry["recomputed"][name], abs=1e-6)
        assert ability == pytest.approx(entry["published"][name], abs=entry["tol"])
        if name in entry["published"]["se"]:
            v = found.information_covariance
            error = np.sqrt(v[i, i] + v[reference, reference] - 2 * v[i, reference])
            assert error == pytest.approx(entry["published"]["se"][name], abs=1e-5)
    assert found.converged


def test_the_journals_have_their_published_deviance() -> None:
    entry, found, _comparisons = citations()
    wins = {(winner, loser): times for winner, loser, times in entry["wins"]}
    saturated = sum(n * np.log(n / (n + wins[loser, winner])) for (winner, loser), n in wins.items())
    deviance = 2 * (saturated - found.log_likelihood[-1])
    assert deviance == pytest.approx(entry["published"]["residual_deviance"], abs=1e-4)


@pytest.mark.parametrize("model", TIE_MODELS)
def test_strengths_ties_and_effects_are_recovered(model: TieModel) -> None:
    random = np.random.default_rng(1)
    position, length = random.choice([-1.0, 1.0], 20_000), random.normal(size=20_000)
    effects = {"position": (0.25, position), "length": (-0.5, length)}
    found = bradley_terry(games(STRENGTH, 20_000, random, model=model, tie=TIE_OF[model], effects=effects), model)
    assert np.abs(found.strength - (STRENGTH - STRENGTH.mean())).max() < 0.08
    assert found.effect == pytest.approx([0.25, -0.5], abs=0.06)
    if model == "plain":
        assert found.tie is None
    else:
        assert found.tie == pytest.approx(TIE_OF[model], abs=0.05)


def test_an_effect_that_is_left_out_biases_and_one_that_is_in_does_not() -> None:
    """The stronger player also writes longer; that longer is liked is not its merit."""
    random = np.random.default_rng(2)
    strength = np.array([0.3, -0.3])
    base = games(strength, 8000, random)
    length = np.where(base.first == 0, 1.0, -1.0) + random.normal(0, 0.5, 8000)
    p = probabilities("davidson", strength[base.first] - strength[base.second] + 0.8 * length, -0.5)
    label = (random.random(8000)[:, None] > p.cumsum(axis=1)[:, :2]).sum(axis=1)
    with_it = bradley_terry(PairedComparisons.from_arrays(base.first, base.second, label, effects={"length": length}))
    without = bradley_terry(PairedComparisons.from_arrays(base.first, base.second, label))
    assert with_it.strength[0] == pytest.approx(0.3, abs=0.08)
    assert without.strength[0] > 0.5


@pytest.mark.parametrize("model", TIE_MODELS)
@given(lead=st.floats(-4, 4), tie=st.floats(0.05, 2), label=st.sampled_from([A, TIE, B]))
def test_the_slopes_are_the_derivatives(model: TieModel, lead: float, tie: float, label: int) -> None:
    at = lambda dl, dt: slopes(model, np.array([label]), np.array([lead + dl]), tie + dt)  # noqa: E731
    h = 1e-5
    here = at(0, 0)
    assert (at(h, 0).value - at(-h, 0).value) / (2 * h) == pytest.approx(here.by_lead, abs=1e-6)
    assert (at(h, 0).by_lead - at(-h, 0).by_lead) / (2 * h) == pytest.approx(here.by_lead_twice, abs=1e-6)
    assert (at(0, h).by_lead - at(0, -h).by_lead) / (2 * h) == pytest.approx(here.by_both, abs=1e-6)
    if model != "plain":
        assert (at(0, h).value - at(0, -h).value) / (2 * h) == pytest.approx(here.by_tie, rel=1e-5, abs=1e-6)
        assert (at(0, h).by_tie - at(0, -h).by_tie) / (2 * h) == pytest.approx(here.by_tie_twice, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("model", TIE_MODELS)
@given(lead=st.floats(-30, 30), tie=st.floats(0.01, 3))
def test_the_three_outcomes_are_all_there_is(model: TieModel, lead: float, tie: float) -> None:
    p = probabilities(model, np.array([lead, -lead]), tie)
    assert p.sum(axis=1) == pytest.approx(1)
    assert p[1, ::-1] == pytest.approx(p[0])


@pytest.mark.parametrize("model", TIE_MODELS)
@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=15)
def test_neither_names_nor_sides_matter(model: TieModel, seed: int) -> None:
    random = np.random.default_rng(seed)
    played = games(STRENGTH, 300, random)
    found = bradley_terry(played, model)
    names = random.permutation(5)
    renamed = PairedComparisons.from_arrays(names[played.first], names[played.second], played.label)
    assert bradley_terry(renamed, model).strength[names] == pytest.approx(found.strength, abs=1e-6)
    turned = PairedComparisons.from_arrays(played.second, played.first, 2 - played.label)
    other = bradley_terry(turned, model)
    assert other.strength == pytest.approx(found.strength, abs=1e-6)
    assert other.probabilities[:, ::-1] == pytest.approx(found.probabilities, abs=1e-6)
    assert other.soft_labels == pytest.approx(1 - found.soft_labels, abs=1e-6)


@pytest.mark.parametrize("model", TIE_MODELS)
@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(0, 2)), max_size=25),
)
@settings(deadline=None, max_examples=60)
def test_any_comparisons_give_finite_strengths_or_a_reason(model: TieModel, rows: list[tuple[int, int, int]]) -> None:
    first = [one for one, _, _ in rows]
    second = [(one + step) % 4 for one, step, _ in rows]
    position = np.where(np.arange(len(rows)) % 2, 1.0, -1.0)
    for effects in ({}, {"position": position}):
        found = bradley_terry(
            PairedComparisons.from_arrays(first, second, [label for _, _, label in rows], effects=effects), model
        )
        if isinstance(found, Undefined):
            assert found.reason in list(Reason)
            continue
        assert found.strength.sum() == pytest.approx(0, abs=1e-9)
        assert (np.diag(found.covariance) >= -1e-9).all()
        assert (np.diff(found.log_likelihood) >= 0).all()
        assert found.probabilities.sum(axis=1) == pytest.approx(1)


def test_at_the_maximum_expected_and_seen_wins_are_the_same() -> None:
    played = games(STRENGTH, 500, np.random.default_rng(3))
    found = bradley_terry(played)
    expected, seen = np.zeros(5), np.zeros(5)
    for side, sign in ((played.first, 1), (played.second, -1)):
        np.add.at(expected, side, sign * (found.probabilities[:, A] - found.probabilities[:, B]))
        np.add.at(seen, side, sign * (1 - played.label))
    assert expected == pytest.approx(seen, abs=1e-5)
    assert found.probabilities[:, TIE].sum() == pytest.approx((played.label == TIE).sum(), abs=1e-5)


@pytest.mark.parametrize(
    ("first", "second", "label", "reason"),
    [
        ([], [], [], Reason.NO_JUDGMENTS),
        ("xxy", "yzz", [A, A, A], Reason.SEPARATED),
        ("xyz", "yzx", [A, B, A], Reason.SEPARATED),
        ("xyzw", "yxwz", [A, A, A, A], Reason.DISCONNECTED),
        ("xyz", "yzx", [TIE, TIE, TIE], Reason.ONLY_TIES),
    ],
)
def test_what_has_no_maximum_is_undefined_with_a_reason(
    first: object, second: object, label: list[int], reason: Reason
) -> None:
    comparisons = PairedComparisons.from_arrays(list(first), list(second), label)
    for model in TIE_MODELS:
        assert bradley_terry(comparisons, model) == Undefined(reason)


def test_an_effect_that_decides_everything_or_never_varies_is_named() -> None:
    position = np.tile([1.0, 1.0, -1.0, -1.0], 10)
    decides = PairedComparisons.from_arrays(
        np.tile([0, 1], 20), np.tile([1, 0], 20), np.where(position > 0, A, B), effects={"position": position}
    )
    assert bradley_terry(decides) == Undefined(Reason.EFFECT_SEPARATED)
    played = games(STRENGTH, 300, np.random.default_rng(4))
    flat = PairedComparisons.from_arrays(played.first, played.second, played.label, effects={"length": np.zeros(300)})
    assert bradley_terry(flat) == Undefined(Reason.EFFECT_SEPARATED)


def test_without_ties_all_models_are_the_plain_one() -> None:
    played = games(STRENGTH, 400, np.random.default_rng(5), model="plain", tie=0.0)
    found = [bradley_terry(played, model) for model in TIE_MODELS]
    assert all((each.strength == found[0].strength).all() and each.model == "plain" for each in found)
    assert (found[1].probabilities[:, TIE] == 0).all()


def test_repeating_judgments_of_an_item_teaches_nothing_new() -> None:
    """Copies of a judgment by colleagues who always agree: the clustered error stays, the naive one shrinks."""
    played = games(STRENGTH, 400, np.random.default_rng(6))
    copies = PairedComparisons.from_arrays(
        *(np.tile(column, 4) for column in (played.first, played.second, played.label)), items=np.tile(played.item, 4)
    )
    one, four = bradley_terry(played), bradley_terry(copies)
    assert four.covariance == pytest.approx(one.covariance, rel=1e-4, abs=1e-9)
    assert four.information_covariance == pytest.approx(one.information_covariance / 4, rel=1e-4, abs=1e-9)


def test_who_agrees_with_the_strengths_is_reliable() -> None:
    random = np.random.default_rng(7)
    played = games(STRENGTH, 2000, random)
    careless = random.random(2000) < 0.5
    label = np.where(careless, random.integers(0, 3, 2000), played.label)
    found = bradley_terry(
        PairedComparisons.from_arrays(played.first, played.second, label, annotators=np.where(careless, "z", "a"))
    )
    assert found.reliability[0] > found.reliability[1] + 0.03


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [0, 3]}, "not one of the codes"),
        ({"second": ["x", "y"]}, "with itself"),
        ({"second": ["y"]}, "2 labels, but second"),
        ({"annotators": [1]}, "2 labels, but annotators"),
        ({"effects": {"length": [1.0, np.nan]}}, "length must be finite"),
    ],
)
def test_malformed_comparisons_are_refused(change: dict, message: str) -> None:
    given_arrays = {"first": ["x", "y"], "second": ["y", "x"], "labels": [0, 2], **change}
    with pytest.raises(ValueError, match=message):
        PairedComparisons.from_arrays(**given_arrays)
    with pytest.raises(ValueError, match="Unknown model of ties"):
        bradley_terry(games(STRENGTH, 9, np.random.default_rng(0)), "half")  # type: ignore[arg-type]
