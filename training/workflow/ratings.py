"""Ratings of the models whose responses people have compared, as JSON: the page, the API and the command show this."""

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import stdtrit

from annotate.models import Project
from annotate.statistics.bradley_terry import bradley_terry
from annotate.statistics.elo import on_elo_scale
from annotate.statistics.estimate import Estimate, Outcome, Reason, Undefined
from annotate.statistics.intervals import FEWEST_CLUSTERS, LEVEL
from annotate.statistics.judgments import TIE, A
from annotate.statistics.model_ratings import ModelRatings, model_ratings, win_rates
from annotate.statistics.paired_comparisons import PairedComparisons
from training.workflow.rated_pairs import Ints, Player, RatedPairs, read_pairs
from training.workflow.rating_filters import RatingFilters

# Those compared most; a table of more is read by nobody, and an import can name thousands.
MOST_MODELS = 100
Rates = list[list[Estimate | None]]
PROMPTS, COMPARISONS = "prompts", "comparisons"


def ratings_of(*, project: Project, filters: RatingFilters | None = None) -> dict[str, Any]:
    """Every outcome is a value with interval and n, or null with a reason; models in the order of their ratings."""
    filters = filters or RatingFilters()
    pairs = read_pairs(project, filters)
    kept, beyond = _most_compared(pairs)
    counts = {
        "same_model": pairs.same_model,
        "unnamed": pairs.unnamed,
        "bad": pairs.bad,
        "beyond_the_most_compared": beyond,
    }
    return {
        "filters": filters.as_query(),
        "options": {"rounds": pairs.rounds, "tags": pairs.tags},
        "n_judgments": len(kept),
        "n_comparisons": int(np.unique(kept.item).size),
        "n_prompts": int(np.unique(kept.prompt).size),
        "n_annotators": int(np.unique(kept.annotator).size),
        "left_out": counts,
        **_rated(kept),
    }


def _rated(pairs: RatedPairs) -> dict[str, Any]:
    if not len(pairs):
        nobody = Reason.ONE_PLAYER if pairs.same_model or pairs.unnamed else Reason.NO_JUDGMENTS
        why = Undefined(nobody).as_json()
        nothing = {name: [] for name in ("ratings", "groups", "win_rates", "parts")}
        return {"reason": str(nobody), "intervals_over": None, **nothing, "position": why}
    over = _over(pairs)
    games = PairedComparisons.from_arrays(
        pairs.first,
        pairs.second,
        pairs.label,
        annotators=pairs.annotator,
        items=pairs.item,
        clusters=pairs.prompt if over == PROMPTS else None,
    )
    found = model_ratings(games)
    order, rates = _in_order(games, found)
    players = [pairs.players[games.players[place]] for place in order]
    return {
        "reason": str(found.reason) if isinstance(found, Undefined) else None,
        "intervals_over": over,
        "model": None if isinstance(found, Undefined) else found.method.model,
        "tie": None if isinstance(found, Undefined) else found.method.tie,
        "ratings": _rows(games, found, order, players),
        "groups": _groups(found, players),
        "win_rates": _pairs_met(rates, players),
        "parts": _parts(games, pairs.players),
        "position": _position(pairs, games).as_json(),
    }


def _over(pairs: RatedPairs) -> str:
    """What the intervals generalise to. A response to a prompt may be in several comparisons, which hang together; with
    too few prompts for their spread to be seen, nothing can be said of others, only of more comparisons on these."""
    prompts, models = np.unique(pairs.prompt).size, np.unique(np.concatenate([pairs.first, pairs.second])).size
    return PROMPTS if prompts >= max(FEWEST_CLUSTERS, models + 1) else COMPARISONS


def _in_order(games: PairedComparisons, found: ModelRatings | Undefined) -> tuple[list[int], Rates]:
    """Places of the players, the best first; by the share of what they won where there is no rating."""
    if isinstance(found, Undefined):
        wins, ties, losses = _records(games)
        order = np.argsort(-(wins + ties / 2) / (wins + ties + losses), kind="stable").tolist()
        rates = win_rates(games)
        return order, [[rates[i][j] for j in order] for i in order]
    return np.searchsorted(games.players, np.array(found.models)).tolist(), found.win_rates


def _rows(
    games: PairedComparisons, found: ModelRatings | Undefined, order: list[int], players: list[Player]
) -> list[dict[str, Any]]:
    wins, ties, losses = (each[order].tolist() for each in _records(games))
    items = _items(games)[order].tolist()
    rows = []
    for place, player in enumerate(players):
        outcome = found if isinstance(found, Undefined) else found.ratings[place]
        groups = [] if isinstance(found, Undefined) else found.groups
        rows.append(
            {
                "model": player.name,
                "artifact": player.artifact,
                "rating": outcome.as_json(),
                "elo": _on_elo(outcome).as_json(),
                "groups": [n for n, (first, last) in enumerate(groups, start=1) if first <= place <= last],
                "n_comparisons": items[place],
                "n_judgments": wins[place] + ties[place] + losses[place],
                "wins": wins[place],
                "ties": ties[place],
                "losses": losses[place],
            }
        )
    return rows


def _on_elo(outcome: Outcome) -> Outcome:
    if isinstance(outcome, Undefined):
        return outcome
    value, low, high = on_elo_scale([outcome.value, outcome.low, outcome.high]).tolist()
    return Estimate(value=value, low=low, high=high, n=outcome.n)


def _groups(found: ModelRatings | Undefined, players: list[Player]) -> list[list[str]]:
    if isinstance(found, Undefined):
        return []
    return [[player.name for player in players[first : last + 1]] for first, last in found.groups]


def _pairs_met(rates: Rates, players: list[Player]) -> list[dict[str, Any]]:
    """Each pair once, the better rated model as `model`."""
    return [
        {"model": players[i].name, "against": players[j].name, "win_rate": rate.as_json()}
        for i, row in enumerate(rates)
        for j, rate in enumerate(row)
        if i < j and rate is not None
    ]


def _parts(games: PairedComparisons, players: list[Player]) -> list[dict[str, Any]]:
    """Where there is no rating: who was never compared with, or never lost to, or never beat, the others."""
    parts = games.parts()
    return [
        {"models": sorted(players[code].name for code in part.players), "wins": part.wins, "losses": part.losses}
        for part in parts
        if len(parts) > 1
    ]


def _position(pairs: RatedPairs, games: PairedComparisons) -> Outcome:
    """P(the one shown first is preferred | the models are alike, no tie) = σ(γ), from a fit with the side in it. The
    interval is over prompts, these people taken as given: a habit that one of them has is in all that they judged."""
    known = int((pairs.side != 0).sum())
    if not known:
        return Undefined(Reason.SIDE_UNKNOWN)
    found = bradley_terry(replace(games, effects=("position",), effect=pairs.side[:, None].astype(float)))
    if isinstance(found, Undefined):
        return found
    freedom = max(games.clusters - games.players.size - 1, 1)
    half = float(stdtrit(freedom, (1 + LEVEL) / 2)) * float(np.sqrt(found.covariance[-1, -1]))
    value = float(found.effect[0])
    share, low, high = (1 / (1 + np.exp(-np.array([value, value - half, value + half])))).tolist()
    return Estimate(value=share, low=low, high=high, n=known)


def _records(games: PairedComparisons) -> tuple[Ints, Ints, Ints]:
    """Wins, ties and losses of each player in judgments, (P,) each."""
    size = games.players.size
    tie, won = games.label == TIE, games.label == A
    winner, loser = np.where(won, games.first, games.second)[~tie], np.where(won, games.second, games.first)[~tie]
    drawn = np.concatenate([games.first[tie], games.second[tie]])
    return tuple(np.bincount(each, minlength=size) for each in (winner, drawn, loser))  # type: ignore[return-value]


def _items(games: PairedComparisons) -> Ints:
    """Comparisons that each player was in, (P,)."""
    met = np.concatenate([np.stack([games.first, games.item]), np.stack([games.second, games.item])], axis=1)
    return np.bincount(np.unique(met, axis=1)[0], minlength=games.players.size)


def _most_compared(pairs: RatedPairs) -> tuple[RatedPairs, int]:
    """And how many judgments are left out with the rest."""
    times = np.bincount(np.concatenate([pairs.first, pairs.second]), minlength=len(pairs.players))
    if np.count_nonzero(times) <= MOST_MODELS:
        return pairs, 0
    most = np.zeros(times.size, dtype=bool)
    most[np.argsort(-times, kind="stable")[:MOST_MODELS]] = True
    kept = most[pairs.first] & most[pairs.second]
    columns = ("item", "prompt", "annotator", "label", "side", "first", "second")
    return replace(pairs, **{name: getattr(pairs, name)[kept] for name in columns}), int((~kept).sum())
