"""Bradley-Terry: strengths of players out of paired comparisons, with ties and with effects of position and length."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, hstack

from annotate.statistics.estimate import Reason, Undefined
from annotate.statistics.judgments import TIE
from annotate.statistics.newton import Summit, climb_to_summit
from annotate.statistics.paired_comparisons import PairedComparisons
from annotate.statistics.tie_models import TIE_MODELS, Slopes, TieModel, probabilities, slopes
from annotate.statistics.truth import Floats, Truth

_HOPELESS = 1e4


@dataclass(frozen=True, eq=False)
class BradleyTerry(Truth):
    """Strengths, and what follows from them. `probabilities` (items, 3) are of a, tie and b for the pair of each
    item (as in its first judgment) with all effects at 0; `reliability` (annotators,) is the mean probability that
    the strengths give to the annotator's choices among the decided ones, 1/2 for one who only gave ties.

    strength          (P,) natural logarithm of the odds, mean 0 over the players
    covariance        (P + effects,) squared, of strengths and effects, by clusters of items
    information_covariance   the same if every judgment were independent and the model exactly true
    effect            (effects,) log-odds towards the first per unit
    tie               τ of the tie model; None where there were no ties or they count as half wins
    model             the model that was fitted: `plain` where there were no ties
    """

    strength: Floats
    covariance: Floats
    information_covariance: Floats
    effect: Floats
    tie: float | None
    model: TieModel


def bradley_terry(comparisons: PairedComparisons, ties: TieModel = "davidson") -> BradleyTerry | Undefined:
    """Maximum likelihood by Newton's method.

        η = s_first - s_second + Σ_e γ_e x_e,   P(a), P(tie), P(b) of η by `tie_models.probabilities`
        covariance = H⁻¹ (m/(m-1) Σ_clusters g g') H⁻¹,   g = Σ of the scores of the cluster's judgments, m clusters

    `plain` counts a tie as half a win for each. The clustered covariance stays honest when several people judge one
    item, when items share a response, and when ties count half. Undefined, with the reason, where the likelihood has no
    maximum: players who won everything, groups never compared, only ties, an effect that decides everything.
    Bradley & Terry (1952), Biometrika 39:324; Davidson & Beaver (1977), Biometrics 33:693 (order effects);
    Liang & Zeger (1986), Biometrika 73:13, eq. 8 (the sandwich).
    """
    if ties not in TIE_MODELS:
        raise ValueError(f"Unknown model of ties: {ties!r}; choose one of {', '.join(TIE_MODELS)}.")
    reason = comparisons.why_not_rated()
    if reason is not None:
        return Undefined(reason)
    model: TieModel = ties if (comparisons.label == TIE).any() else "plain"
    design = _design(comparisons)
    top = _fit(comparisons, design, model)
    if not top.converged or _largest_variance(design, top) > _HOPELESS:
        return Undefined(Reason.EFFECT_SEPARATED if comparisons.effects else Reason.SEPARATED)
    return _result(comparisons, design, model, top)


def centred(players: int, others: int) -> Floats:
    """(P + others, P - 1 + others): from strengths relative to the last player to strengths with mean 0."""
    matrix = np.zeros((players + others, players - 1 + others))
    matrix[: players - 1, : players - 1] = np.eye(players - 1)
    matrix[:players, : players - 1] -= 1 / players
    matrix[players:, players - 1 :] = np.eye(others)
    return matrix


def _design(comparisons: PairedComparisons) -> csr_array:
    """(n, P - 1 + effects): the lead of each judgment is its row times the parameters; the last player stands at 0."""
    n, row = len(comparisons), np.arange(len(comparisons))
    sides = csr_array(
        (np.repeat([1.0, -1.0], n), (np.tile(row, 2), np.concatenate([comparisons.first, comparisons.second]))),
        shape=(n, comparisons.players.size),
    )
    return csr_array(hstack([sides[:, :-1], csr_array(comparisons.effect)]))


def _fit(comparisons: PairedComparisons, design: csr_array, model: TieModel) -> Summit:
    """The point is (strengths but the last, effects, and τ where the model has one)."""
    columns, with_tie = design.shape[1], model != "plain"
    transposed = csr_array(design.T)

    def look(point: Floats) -> tuple[float, Floats, Floats]:
        found = slopes(model, comparisons.label, design @ point[:columns], point[columns] if with_tie else 0.0)
        gradient = np.append(transposed @ found.by_lead, found.by_tie.sum())
        bend = np.zeros((columns + 1, columns + 1))
        bend[:columns, :columns] = (transposed @ (design * found.by_lead_twice[:, None])).toarray()
        bend[columns, :columns] = bend[:columns, columns] = transposed @ found.by_both
        bend[columns, columns] = found.by_tie_twice.sum()
        kept = columns + with_tie
        return float(found.value.sum()), gradient[:kept], bend[:kept, :kept]

    return climb_to_summit(look, np.append(np.zeros(columns), [1.0] * with_tie))


def _largest_variance(design: csr_array, top: Summit) -> float:
    """Of the lead of any judgment. Where the likelihood rises for ever, Newton stops far out, and this explodes."""
    columns = design.shape[1]
    among = np.linalg.inv(top.information)[:columns, :columns]
    return float(np.abs(design.multiply(design @ among).sum(axis=1)).max())


def _result(comparisons: PairedComparisons, design: csr_array, model: TieModel, top: Summit) -> BradleyTerry:
    columns, players = design.shape[1], comparisons.players.size
    tie = float(top.point[columns]) if model != "plain" else 0.0
    found = slopes(model, comparisons.label, design @ top.point[:columns], tie)
    to_centre = centred(players, columns - players + 1)
    inverse = np.linalg.inv(top.information)
    meat = _by_cluster(comparisons, design, found, top.point.size)
    moved = to_centre @ top.point[:columns]
    strength = moved[:players]
    return BradleyTerry(
        probabilities=_of_items(comparisons, strength, model, tie),
        reliability=agreement_with_strengths(comparisons, strength),
        converged=True,
        iterations=top.trace.size,
        log_likelihood=top.trace,
        strength=strength,
        covariance=to_centre @ (inverse @ meat @ inverse)[:columns, :columns] @ to_centre.T,
        information_covariance=to_centre @ inverse[:columns, :columns] @ to_centre.T,
        effect=moved[players:],
        tie=tie if model != "plain" else None,
        model=model,
    )


def _by_cluster(comparisons: PairedComparisons, design: csr_array, found: Slopes, size: int) -> Floats:
    """Σ over clusters of g g', (q, q), times m / (m - 1)."""
    scores = csr_array(hstack([design * found.by_lead[:, None], csr_array(found.by_tie[:, None])]))[:, :size]
    n, clusters = len(comparisons), comparisons.clusters
    member = csr_array((np.ones(n), (comparisons.cluster, np.arange(n))), shape=(clusters, n))
    summed = member @ scores
    return (summed.T @ summed).toarray() * clusters / max(clusters - 1, 1)


def _of_items(comparisons: PairedComparisons, strength: Floats, model: TieModel, tie: float) -> Floats:
    _, place = np.unique(comparisons.item, return_index=True)
    lead = strength[comparisons.first[place]] - strength[comparisons.second[place]]
    return probabilities(model, lead, tie)


def agreement_with_strengths(comparisons: PairedComparisons, strength: Floats) -> Floats:
    """(annotators,): mean of σ(s_winner - s_loser) over the annotator's decided comparisons; 1/2 without any."""
    decided = comparisons.label != TIE
    lead = (strength[comparisons.first] - strength[comparisons.second])[decided] * (1 - comparisons.label[decided])
    size = comparisons.annotators.size
    number = np.bincount(comparisons.annotator[decided], minlength=size)
    total = np.bincount(comparisons.annotator[decided], 1 / (1 + np.exp(-lead)), minlength=size)
    return np.divide(total, number, out=np.full(size, 0.5), where=number > 0)
