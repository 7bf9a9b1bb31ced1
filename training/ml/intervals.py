"""Figures with their uncertainty: {"value", "low", "high", "n"}, the 95 % interval beside every estimate."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy
from scipy.stats import binom
from scipy.stats import t as student

from training.recipes.words import gettext_noop

ENOUGH = 5  # below this an interval spans nearly everything, and a figure would only mislead
ENOUGH_FOR_MEDIAN = 6  # five values lie on one side of it with more than 2.5 %
Z = 1.959963984540054
Clusters = Sequence[Hashable] | None  # what each value belongs to; None: every value is one of its own
FEW_PROMPTS = gettext_noop("Of too few prompts to say anything: at least %(enough)s are needed.")


def proportion(successes: float, n: int) -> dict[str, Any]:
    """Wilson's score interval (Wilson 1927); a tie may count half."""
    if n < ENOUGH:
        return too_few(n)
    share = successes / n
    return {"value": share, **_wilson(share, n), "n": n}


def _wilson(share: float, n: float) -> dict[str, float]:
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    # At 0 and 1 the bound is the share itself; rounding must not leave it on the wrong side.
    return {"low": max(min(middle - half, share), 0.0), "high": min(max(middle + half, share), 1.0)}


def clusters_of(prompts: Sequence[Sequence[int]]) -> Clusters:
    """By which the interval of a figure goes: the prompt of each value, as the values of one prompt hang together. None
    where each has a prompt of its own, and where there are fewer than ENOUGH prompts: nothing can be said of others
    then, and the interval is for more pairs of these."""
    found = [tuple(prompt) for prompt in prompts]
    return found if ENOUGH <= len(set(found)) < len(found) else None


def some_of(clusters: Clusters, wanted: Sequence[bool]) -> Clusters:
    return None if clusters is None else [cluster for cluster, is_in in zip(clusters, wanted, strict=True) if is_in]


def mean(values: Sequence[float], clusters: Clusters = None) -> dict[str, Any]:
    """Student's t interval of a mean of independent values, or, by `ratio`, of values that come in `clusters`."""
    n = len(values)
    if n < ENOUGH:
        return too_few(n)
    if clusters is not None and len(set(clusters)) < n:
        return ratio(values, [1] * n, clusters)
    numbers = numpy.asarray(values, dtype=float)
    half = float(student.ppf(0.975, n - 1) * numbers.std(ddof=1) / math.sqrt(n))
    value = float(numbers.mean())
    return {"value": value, "low": value - half, "high": value + half, "n": n}


def ratio(sums: Sequence[float], counts: Sequence[int], clusters: Clusters = None) -> dict[str, Any]:
    """The mean over units that come in groups, sum(sums) / sum(counts), with Student's t interval over the groups
    (Cochran 1977, Sampling Techniques, chapter 6: the linearised variance of a ratio), or over the `clusters` in which
    the groups come in turn. `n` counts groups."""
    n = len(sums)
    if n < ENOUGH:
        return too_few(n)
    if clusters is not None and len(set(clusters)) < n:
        totals, sizes = (_by_cluster(column, clusters)[0] for column in (sums, counts))
        return {**unless_too_few(ratio(totals, sizes), FEW_PROMPTS), "n": n, "clusters": len(totals)}
    totals, sizes = numpy.asarray(sums, dtype=float), numpy.asarray(counts, dtype=float)
    value = float(totals.sum() / sizes.sum())
    residuals = totals - value * sizes
    half = float(student.ppf(0.975, n - 1) * residuals.std(ddof=1) * math.sqrt(n) / sizes.sum())
    return {"value": value, "low": value - half, "high": value + half, "n": n}


def exponential(figure: dict[str, Any]) -> dict[str, Any]:
    """exp is monotone, so the ends of the interval go along."""
    bounds = {name: figure[name] for name in ("value", "low", "high")}
    return {**figure, **{name: value if value is None else math.exp(min(value, 700)) for name, value in bounds.items()}}


def median(values: Sequence[float]) -> dict[str, Any]:
    """The median, and the two values of the sample between which it lies with at least 95 %, whatever the distribution
    (Conover 1999, Practical Nonparametric Statistics, section 3.2)."""
    n, ordered = len(values), sorted(values)
    if n < ENOUGH_FOR_MEDIAN:
        return too_few(n)
    below = int(binom.ppf(0.025, n, 0.5)) - 1  # the largest number with P(so many values or fewer are smaller) < 0.025
    return {"value": float(numpy.median(ordered)), "low": ordered[below], "high": ordered[n - 1 - below], "n": n}


def wins(margins: Sequence[float], clusters: Clusters = None) -> dict[str, Any]:
    """The share of positive margins; a tie counts half."""
    return share_of(hits_of(margins), clusters)


def hits_of(margins: Sequence[float]) -> list[float]:
    return [(margin > 0) + 0.5 * (margin == 0) for margin in margins]


def share_of(hits: Sequence[float], clusters: Clusters = None) -> dict[str, Any]:
    """The mean of hits, each 0 to 1, with Wilson's interval: where they come in `clusters`, for the number of
    independent hits that would be as uncertain. That is n by the design effect, the linearised variance over the
    clusters (as in `ratio`) by the binomial one, at least 1, and by the square of Student's quantile over the normal
    one (Kish 1965, Survey Sampling, section 8.2; Korn and Graubard 1998, Survey Methodology 24:193)."""
    n = len(hits)
    if clusters is None or n < ENOUGH or len(set(clusters)) == n:
        return proportion(sum(hits), n)
    sums, sizes = (numpy.asarray(column, dtype=float) for column in _by_cluster(hits, clusters))
    m, share = len(sums), float(sums.sum() / n)
    if m < 2:
        return {**undefined(n, FEW_PROMPTS, enough=2), "clusters": m}
    binomial = share * (1 - share) / n
    variance = float(((sums - share * sizes) ** 2).sum()) * m / (m - 1) / n**2
    # All hits or none: no spread is seen, and the clusters may be alike throughout.
    effect = max(variance / binomial, 1.0) if binomial > 0 else float((sizes**2).sum() / n)
    independent = n / effect * (Z / float(student.ppf(0.975, m - 1))) ** 2
    return {"value": share, **_wilson(share, independent), "n": n, "clusters": m}


def _by_cluster(values: Sequence[float], clusters: Sequence[Hashable]) -> tuple[list[float], list[int]]:
    """Sum and number of the values of each cluster."""
    sums: dict[Hashable, float] = {}
    sizes: dict[Hashable, int] = {}
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + value
        sizes[cluster] = sizes.get(cluster, 0) + 1
    return list(sums.values()), list(sizes.values())


def mean_of_shares(shares: Sequence[float], clusters: Clusters = None) -> dict[str, Any]:
    """The mean of shares, each of all votes on an item: Student's t interval as `mean` has it, within 0 and 1. Where
    all items, or all clusters, are alike they show no spread, which does not prove that there is none: then Wilson's,
    with one trial of each."""
    found = mean(shares, clusters)
    if found["value"] is None:
        return found
    if found["high"] - found["low"] < 1e-12:
        return {**found, **_wilson(found["value"], found.get("clusters", found["n"]))}
    return {**found, "low": max(found["low"], 0.0), "high": min(found["high"], 1.0)}


def mean_of_two(first: dict[str, Any], second: dict[str, Any], correlation: float = 0.0) -> dict[str, Any]:
    """(p + q) / 2 of two shares that vary together by `correlation`. By the delta method its variance is
    (var p + var q + 2 cov) / 4; the variances are taken, for each side of its own, from the shares' own intervals,
    which holds near 0 and 1, where p(1-p)/n vanishes:

        low = (p+q)/2 - sqrt((p - low_p)^2 + (q - low_q)^2 + 2 correlation (p - low_p)(q - low_q)) / 2,   high likewise

    Newcombe 1998, Statistics in Medicine 17:873, method 10; Zou and Donner 2008, Statistics in Medicine 27:1693."""
    value = (first["value"] + second["value"]) / 2
    below = _combined(*(share["value"] - share["low"] for share in (first, second)), correlation) / 2
    above = _combined(*(share["high"] - share["value"] for share in (first, second)), correlation) / 2
    return {
        "value": value,
        "low": max(value - below, 0.0),
        "high": min(value + above, 1.0),
        "n": first["n"] + second["n"],
    }


def _combined(a: float, b: float, correlation: float) -> float:
    return math.sqrt(max(a * a + b * b + 2 * correlation * a * b, 0.0))


def correlation_of_shares(hits: Sequence[float], is_first: Sequence[bool], clusters: Clusters) -> float:
    """Of the share of hits in one part of the values with that in the others, as both come in the same clusters: from
    the linearised contributions of each cluster to the two (as in `ratio`). 0 where every value is one of its own, or
    one of the two shows no spread."""
    if clusters is None:
        return 0.0
    parts = []
    for part in (True, False):
        of_part = [hit for hit, first in zip(hits, is_first, strict=True) if first is part]
        share, own = sum(of_part) / len(of_part), dict.fromkeys(clusters, 0.0)
        for hit, first, cluster in zip(hits, is_first, clusters, strict=True):
            own[cluster] += (hit - share) * (first is part)
        parts.append(numpy.array(list(own.values())))
    spread = float(numpy.linalg.norm(parts[0]) * numpy.linalg.norm(parts[1]))
    return float(parts[0] @ parts[1]) / spread if spread > 0 else 0.0


def too_few(n: int) -> dict[str, Any]:
    """No figure, and why."""
    reason = f"Only {n} held-out pairs: at least {ENOUGH} are needed to say anything."
    return {"value": None, "low": None, "high": None, "n": n, "reason": reason}


def undefined(n: int, template: str, **values: int) -> dict[str, Any]:
    """No figure, and why in words of its own, marked with `gettext_noop`; `words` is what a translator needs."""
    values = {"n": n, **values}
    words = {"template": template, "values": values}
    return {"value": None, "low": None, "high": None, "n": n, "reason": template % values, "words": words}


def unless_too_few(figure: dict[str, Any], template: str) -> dict[str, Any]:
    """The figure, or the reason why there is none in words that say of what there was too little: its own, if any."""
    told = figure["value"] is not None or "words" in figure
    return figure if told else undefined(figure["n"], template, enough=ENOUGH)
