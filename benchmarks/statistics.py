"""The statistics at a million judgments beside their peers: `python -m benchmarks.statistics [--judgments 1000000]`.

Krippendorff's alpha with a 1,000-fold bootstrap and the whole suite of agreement, against the package
`krippendorff` on the same judgments in the same run. The package has no bootstrap: its time for one alpha is
measured and a thousand of them are extrapolated. It is optional; where it is absent that is said.
"""

import argparse
import importlib
import importlib.util
import resource
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate.statistics.counts import count_matrix
from annotate.statistics.judgments import Judgments
from annotate.statistics.krippendorff_alpha import krippendorff_alpha
from annotate.statistics.suite import agreement_suite

REPLICATES = 1000
OVERLAP = 5
SHARES = (0.45, 0.15, 0.4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judgments", type=int, default=1_000_000, help="in all, five an item")
    parser.add_argument("--annotators", type=int, default=50, help="who share the items")
    options = parser.parse_args()
    arrays = simulated(options.judgments // OVERLAP, options.annotators)
    coding, judgments = timed(lambda: Judgments.from_arrays(*arrays))
    counting, counts = timed(lambda: count_matrix(judgments))
    print(f"{len(judgments):,} judgments of {judgments.items.size:,} items by {judgments.annotators.size} annotators")
    print(f"coding {coding:.2f} s, counting {counting:.2f} s")
    alpha, outcome = timed(lambda: krippendorff_alpha(counts, replicates=REPLICATES))
    print(f"alpha and {REPLICATES:,} resamples: {alpha:.3f} s, {outcome}")
    compare_with_krippendorff(counts, arrays, alpha, coding + counting, outcome.value)
    seconds, suite = timed(lambda: agreement_suite(judgments, replicates=REPLICATES))
    print(f"the whole suite with {REPLICATES:,} resamples: {seconds:.2f} s, {len(suite.pairs):,} pairs of annotators")
    print(f"largest memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def simulated(items: int, annotators: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Items, annotators and labels: who knows the label (six of ten times) says it, who does not draws one."""
    random = np.random.default_rng(2)
    who = (
        random.integers(0, annotators, items)[:, None] + random.permuted(_steps(items, annotators), axis=1)
    ) % annotators
    truth = np.repeat(random.choice(3, items, p=SHARES), OVERLAP)
    guess = random.choice(3, truth.size, p=SHARES)
    label = np.where(random.random(truth.size) < 0.6, truth, guess)
    return np.repeat(np.arange(items), OVERLAP), who[:, :OVERLAP].ravel(), label


def _steps(items: int, annotators: int) -> NDArray[np.int64]:
    """Distances between the annotators of an item, all different: (items, a few more than the overlap)."""
    few = min(annotators, 4 * OVERLAP)
    return np.tile(np.linspace(0, annotators - 1, few).astype(np.int64), (items, 1))


def compare_with_krippendorff(
    counts: NDArray[np.int64], arrays: tuple[NDArray[np.int64], ...], ours: float, before: float, value: float
) -> None:
    package = peer("krippendorff")
    if package is None:
        print("the package krippendorff is not installed: no comparison")
        return
    one, found = timed(
        lambda: package.alpha(value_counts=counts, value_domain=[0, 1, 2], level_of_measurement="nominal")
    )
    print(f"krippendorff, one alpha from the same counts: {one:.3f} s; the values differ by {abs(found - value):.1e}")
    print(f"a bootstrap of {REPLICATES:,} with it, extrapolated: {REPLICATES * one:.0f} s")
    print(f"that is {REPLICATES * one / ours:.0f} times ours")
    table = np.full((arrays[1].max() + 1, counts.shape[0]), np.nan, dtype=np.float32)
    table[arrays[1], arrays[0]] = arrays[2]
    one, found = timed(lambda: package.alpha(reliability_data=table, level_of_measurement="nominal"))
    print(f"krippendorff, one alpha from annotators x items: {one:.2f} s")
    print(f"ours from the arrays, bootstrap and all: {before + ours:.2f} s, {(before + ours) / one:.1f} times that")


def peer(name: str) -> Any:
    """The package, or None where it is not installed."""
    return importlib.import_module(name) if importlib.util.find_spec(name) else None


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = perf_counter()
    result = work()
    return perf_counter() - start, result


if __name__ == "__main__":
    main()
