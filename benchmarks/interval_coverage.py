"""How often a 95 % interval covers the truth, for every coefficient: `python -m benchmarks.interval_coverage`.

Simulates projects whose true coefficient is known (that of a project of very many items) and counts the
intervals that hold it. Prints one Markdown row a coefficient and world, one column a number of items.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate.statistics.against_gold import against_gold
from annotate.statistics.brennan_prediger import brennan_prediger
from annotate.statistics.cohen_kappa import cohen_kappa
from annotate.statistics.conger_kappa import conger_kappa
from annotate.statistics.counts import count_matrix, paired_table
from annotate.statistics.estimate import Estimate, Outcome
from annotate.statistics.fleiss_kappa import fleiss_kappa, fleiss_kappa_per_category
from annotate.statistics.gwet_ac import gwet_ac1, gwet_ac2
from annotate.statistics.intraclass_correlation import intraclass_correlation
from annotate.statistics.judgments import Judgments
from annotate.statistics.kendall_tau import kendall_tau
from annotate.statistics.kendall_w import kendall_w
from annotate.statistics.krippendorff_alpha import krippendorff_alpha
from annotate.statistics.leave_one_out import share_of_the_majority_of_others
from annotate.statistics.ranked_items import agreement_of_rankings
from annotate.statistics.raw_agreement import TIE_RULES, raw_agreement
from annotate.statistics.scott_pi import scott_pi

Random = np.random.Generator
Coefficient = Callable[..., Outcome]


@dataclass(frozen=True)
class Labels:
    """Annotators know an item's label with probability `knows` and else draw one from `shares` (a, tie, b)."""

    shares: tuple[float, float, float]
    knows: float
    judgments: tuple[int, int]
    largest: int = 200_000

    def draw(self, n_items: int, random: Random) -> tuple[Judgments, NDArray[np.int64]]:
        """The judgments and the true labels; every item has between judgments[0] and [1] of them."""
        annotators = self.judgments[1]
        truth = random.choice(3, n_items, p=self.shares)
        guess = random.choice(3, (n_items, annotators), p=self.shares)
        label = np.where(random.random(guess.shape) < self.knows, truth[:, None], guess)
        order = np.argsort(random.random(guess.shape), axis=1)
        given = order < random.integers(self.judgments[0], annotators + 1, n_items)[:, None]
        item, annotator = np.nonzero(given)
        return Judgments.from_arrays(item, annotator, label[given]), truth


@dataclass(frozen=True)
class Ratings:
    """Normal item effects of variance `rho` and noise of 1 - rho; rounded to a five-point scale or not."""

    rho: float
    raters: int
    five_points: bool
    largest: int = 20_000

    def draw(self, n_items: int, random: Random) -> NDArray[np.floating[Any]]:
        item, noise = random.normal(size=(n_items, 1)), random.normal(size=(n_items, self.raters))
        leniency = np.linspace(-0.3, 0.3, self.raters)
        ratings = np.sqrt(self.rho) * item + np.sqrt(1 - self.rho) * noise + leniency
        return np.clip(np.round(1.2 * ratings), -2, 2) if self.five_points else ratings


LABELS = {
    "even, 2-5 judgments": Labels((0.45, 0.15, 0.4), 0.6, (2, 5)),
    "80 % of one label, 3 judgments": Labels((0.8, 0.05, 0.15), 0.6, (3, 3)),
    "high agreement, 3 judgments": Labels((0.45, 0.15, 0.4), 0.85, (3, 3)),
}
PAIRS = {
    "even": Labels((0.45, 0.15, 0.4), 0.6, (2, 2)),
    "80 % of one label": Labels((0.8, 0.05, 0.15), 0.6, (2, 2)),
    "high agreement": Labels((0.45, 0.15, 0.4), 0.85, (2, 2)),
}
RATINGS = {
    "normal, 3 raters": Ratings(0.6, 3, five_points=False),
    "five points, 3 raters": Ratings(0.6, 3, five_points=True),
    "five points, 5 raters, low": Ratings(0.2, 5, five_points=True),
}


def of_counts(coefficient: Coefficient, *given: Any, **named: Any) -> Coefficient:
    return lambda drawn, **how: coefficient(count_matrix(drawn[0]), *given, **named, **how)


def of_table(coefficient: Coefficient, *given: Any) -> Coefficient:
    return lambda drawn, **how: coefficient(paired_table(drawn[0], 0, 1), *given, **how)


def in_fours(ratings: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Ranking tasks of four items each: a quarter as many as there are items."""
    tasks = len(ratings) // 4
    return ratings[: 4 * tasks].reshape(tasks, 4, -1)


OF_LABELS: dict[str, Coefficient] = {
    **{f"raw agreement, {rule}": of_counts(raw_agreement, rule) for rule in TIE_RULES},
    **{
        f"Krippendorff's alpha, {metric}": of_counts(krippendorff_alpha, metric=metric, values=(1, 2, 3))
        for metric in ("nominal", "ordinal", "interval", "ratio")
    },
    "Fleiss' kappa": of_counts(fleiss_kappa),
    "Fleiss' kappa of label b": lambda drawn, **how: fleiss_kappa_per_category(count_matrix(drawn[0]), **how)[2],
    "Gwet's AC1": of_counts(gwet_ac1),
    "Gwet's AC2, quadratic": of_counts(gwet_ac2, "quadratic"),
    "Brennan-Prediger": of_counts(brennan_prediger),
    "Conger's kappa": lambda drawn, **how: conger_kappa(drawn[0], **how),
    "leave one out": lambda drawn, **how: share_of_the_majority_of_others(drawn[0], **how),
    "against gold": lambda drawn, **how: against_gold(drawn[0], drawn[0].items, drawn[1], **how).overall,
}
OF_PAIRS: dict[str, Coefficient] = {
    **{f"Cohen's kappa, {name}": of_table(cohen_kappa, name) for name in ("identity", "linear", "quadratic")},
    "Scott's pi": of_table(scott_pi),
}
OF_RATINGS: dict[str, Coefficient] = {
    **{
        form: lambda drawn, form=form, **how: intraclass_correlation(drawn, form, **how)
        for form in ("ICC1", "ICC2", "ICC3")
    },
    "ICC2k": lambda drawn, **how: intraclass_correlation(drawn, "ICC2k", **how),
    "Kendall's W": kendall_w,
    "Kendall's tau": lambda drawn, **how: kendall_tau(drawn[:, 0], drawn[:, 1], **how),
    "mean tau of rankings of 4": lambda drawn, **how: agreement_of_rankings(in_fours(drawn), **how),
    "mean W of rankings of 4": lambda drawn, **how: agreement_of_rankings(in_fours(drawn), "w", **how),
}
FAMILIES = ((OF_LABELS, LABELS), (OF_PAIRS, PAIRS), (OF_RATINGS, RATINGS))


@cache
def true_value(coefficient: Coefficient, world: Labels | Ratings) -> float:
    """The coefficient of a project of very many items."""
    outcome = coefficient(world.draw(world.largest, np.random.default_rng(99)), replicates=2)
    if not isinstance(outcome, Estimate):
        raise ValueError(f"A world in which the coefficient is not defined: {outcome.reason}.")
    return outcome.value


def coverage(
    coefficient: Coefficient, world: Labels | Ratings, n_items: int, *, projects: int, replicates: int = 1000
) -> tuple[float, int]:
    """The share of simulated projects whose interval holds the truth, and in how many there was no interval."""
    truth, held, undefined = true_value(coefficient, world), 0, 0
    for project in range(projects):
        outcome = coefficient(
            world.draw(n_items, np.random.default_rng([project, n_items])), replicates=replicates, seed=project
        )
        if isinstance(outcome, Estimate):
            held += outcome.low <= truth <= outcome.high
        else:
            undefined += 1
    return held / max(projects - undefined, 1), undefined


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--projects", type=int, default=400, help="simulated projects a cell")
    parser.add_argument("--items", default="20,50,100,200", help="numbers of items, by commas")
    parser.add_argument("--only", default="", help="coefficients whose name holds this")
    options = parser.parse_args()
    sizes = [int(size) for size in options.items.split(",")]
    print("| coefficient | world |", *(f"{size} items |" for size in sizes))
    print("| --- | --- |", *("--- |" for _ in sizes))
    for coefficients, worlds in FAMILIES:
        for name, coefficient in coefficients.items():
            for label, world in worlds.items() if options.only in name else ():
                found = [coverage(coefficient, world, size, projects=options.projects) for size in sizes]
                print(f"| {name} | {label} |", *(_cell(*each) for each in found), flush=True)


def _cell(share: float, undefined: int) -> str:
    return f"{100 * share:.1f}{f' ({undefined} undefined)' if undefined else ''} |"


if __name__ == "__main__":
    main()
