"""What the best of n responses is worth, for every n up to the number drawn, and how far it is from the policy."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def expected_best(scores: Floats) -> Floats:
    """The expected highest score of n responses out of the N drawn, for n = 1 .. N; (prompts, N) -> (prompts, N).

        E[max of n] = Σ_i s_(i) C(i - 1, n - 1) / C(N, n)    s_(1) <= ... <= s_(N)

    the mean over all subsets of size n, so without bias for n fresh responses.
    Nakano et al. (2021), WebGPT, estimate best-of-n in this way; Chen et al. (2021), arXiv:2107.03374, pass@k.
    """
    rising = np.sort(np.asarray(scores, dtype=float), axis=1)
    return rising @ _weights(rising.shape[1])


def kl_bound(n: int) -> float:
    """An upper bound on KL(best of n || policy), in nats: log n - (n - 1)/n.

    Stiennon et al. (2020), Learning to Summarize from Human Feedback, appendix G.3, as the KL itself; it is a bound
    where responses can be alike: Beirami et al. (2024), Theoretical Guarantees on the Best-of-n Alignment Policy.
    """
    return math.log(n) - (n - 1) / n


def _weights(total: int) -> Floats:
    """(N, N): row i - 1, column n - 1 is the chance that the highest of n out of N is the i-th lowest of all."""
    sizes = range(1, total + 1)
    rows = [[math.comb(rank - 1, n - 1) / math.comb(total, n) for n in sizes] for rank in range(1, total + 1)]
    return np.array(rows)
