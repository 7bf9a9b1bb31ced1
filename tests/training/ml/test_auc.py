"""The AUC of a score against a label, and its interval: right where all are told apart, wider with clusters."""

from __future__ import annotations

import numpy
import pytest
from scipy.stats import mannwhitneyu

from training.ml.auc import auc


def drawn(n: int, shift: float, seed: int = 0) -> tuple[list[float], list[bool]]:
    draw = numpy.random.default_rng(seed)
    labels = draw.random(n) < 0.7
    return (draw.normal(size=n) + shift * labels).round(1).tolist(), labels.tolist()


def test_it_is_the_share_of_pairs_in_the_right_order_a_tie_counting_half() -> None:
    scores, labels = drawn(60, 1.0)
    ups = [score for score, label in zip(scores, labels, strict=True) if label]
    downs = [score for score, label in zip(scores, labels, strict=True) if not label]
    expected = mannwhitneyu(ups, downs).statistic / len(ups) / len(downs)
    found = auc(scores, labels)
    assert found["value"] == pytest.approx(expected, abs=1e-12)
    assert found["low"] < expected < found["high"] and found["n"] == 60
    turned = auc([-score for score in scores], labels)
    assert (turned["low"], turned["high"]) == pytest.approx((1 - found["high"], 1 - found["low"]), abs=1e-6)


def test_a_score_that_tells_all_apart_is_not_certain_of_the_next_one() -> None:
    labels = [True] * 12 + [False] * 8
    found = auc([float(label) for label in labels], labels)
    assert (found["value"], found["high"]) == (1, 1) and 0.6 < found["low"] < 0.9
    assert auc([float(not label) for label in labels], labels)["high"] == pytest.approx(1 - found["low"])
    assert auc([1.0] * 20, labels)["value"] == 0.5


def test_votes_that_hang_together_say_less() -> None:
    """Every vote five times, under the same prompt, is no more than once."""
    scores, labels = drawn(40, 1.0)
    alone = auc(scores, labels)
    again, prompts = scores * 5, list(range(40)) * 5
    believed, clustered = auc(again, labels * 5), auc(again, labels * 5, prompts)
    assert believed["value"] == clustered["value"] == pytest.approx(alone["value"])

    def width(figure: dict) -> float:
        return figure["high"] - figure["low"]

    assert width(believed) < 0.6 * width(alone)
    assert width(clustered) > 0.95 * width(alone)


def test_too_little_of_one_kind_is_no_figure() -> None:
    few = auc([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [True] * 6)
    assert few["value"] is None and few["n"] == 6 and "one of the two kinds" in few["reason"]
    one_prompt = auc([1.0] * 12, [True] * 6 + [False] * 6, ["a", "b", "c", "d", "e", "f", *["g"] * 6])
    assert one_prompt["value"] is None and "too few prompts" in one_prompt["reason"]
