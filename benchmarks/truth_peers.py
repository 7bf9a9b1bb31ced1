"""Truth inference and ratings against their peers: speed and numeric agreement with crowd-kit and choix.

    python -m benchmarks.truth_peers [dawid_skene] [mace] [glad] [corpus] [crowd_bt] [choix] [--data DIR]

The peers are no dependencies: pip install crowd-kit==1.4.2 choix==0.4.1 into an environment of your own. One that is
absent is said to be. One line of JSON for each part.
"""

import argparse
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from annotate.statistics.bradley_terry import bradley_terry
from annotate.statistics.crowd_bt import crowd_bt
from annotate.statistics.dawid_skene import dawid_skene
from annotate.statistics.glad import glad
from annotate.statistics.judgments import TIE, A, Judgments
from annotate.statistics.mace import mace
from annotate.statistics.paired_comparisons import PairedComparisons
from annotate.statistics.plackett_luce import plackett_luce
from benchmarks.truth import CODES, FILES, against, coded, crowd, games, gold, read, timed

ABSENT = "not installed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="of: dawid_skene, mace, glad, corpus, crowd_bt, choix")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    options = parser.parse_args()
    crowdkit, choix = _optional("crowdkit.aggregation"), _optional("choix")
    parts: dict[str, Callable[[], Any]] = {
        "dawid_skene": lambda: _labels(dawid_skene, crowdkit.DawidSkene(n_iter=100), 20_000) if crowdkit else ABSENT,
        "mace": lambda: _labels(mace, crowdkit.MACE(), 2_000) if crowdkit else ABSENT,
        "glad": lambda: _labels(glad, crowdkit.GLAD(), 500) if crowdkit else ABSENT,
        "corpus": lambda: _corpus(crowdkit, options.data) if crowdkit else ABSENT,
        "crowd_bt": lambda: _noisy_bradley_terry(crowdkit, read(options.data / FILES[0])) if crowdkit else ABSENT,
        "choix": lambda: _choix(choix) if choix else ABSENT,
    }
    for name in options.parts or parts:
        print(json.dumps({name: parts[name]()}), flush=True)


def _frame(judgments: Judgments) -> Any:
    pandas = importlib.import_module("pandas")
    return pandas.DataFrame({"task": judgments.item, "worker": judgments.annotator, "label": judgments.label})


def _labels(ours: Callable[[Judgments], Any], theirs: Any, items: int) -> dict[str, Any]:
    """Simulated: five votes an item, items / 100 annotators."""
    judgments, truth = crowd(items, 5, max(items // 100, 20))
    frame = _frame(judgments)
    own, seconds = timed(lambda: ours(judgments))
    peer, peer_seconds = timed(lambda: theirs.fit(frame))
    labels = peer.labels_.sort_index().to_numpy()
    return {
        "judgments": len(judgments),
        "seconds": seconds,
        "peer_seconds": peer_seconds,
        "times_faster": round(peer_seconds / seconds, 1),
        "same_label": round(float((labels == own.labels).mean()), 5),
        "right": round(float((own.labels == truth).mean()), 4),
        "peer_right": round(float((labels == truth).mean()), 4),
    }


def _corpus(crowdkit: ModuleType, data: Path) -> dict[str, Any]:
    """Accuracy against the corpus' own labels, thinly labelled; one restart of the peer's MACE, which has ten."""
    rows = read(data / FILES[0])
    known, judgments = gold(rows), coded(rows)
    frame = _frame(judgments)
    found = {}
    for ours, theirs in ((dawid_skene, crowdkit.DawidSkene(n_iter=100)), (mace, crowdkit.MACE(n_restarts=1))):
        own, seconds = timed(lambda ours=ours: ours(judgments))
        peer, peer_seconds = timed(lambda theirs=theirs: theirs.fit(frame))
        labels = peer.labels_.sort_index().to_numpy()
        found[ours.__name__] = {
            "accuracy": against(known, own.probabilities)["accuracy"],
            "peer_accuracy": round(float((labels == known)[known >= 0].mean()), 4),
            "seconds": seconds,
            "peer_seconds": peer_seconds,
        }
    return found


def _optional(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _noisy_bradley_terry(crowdkit: ModuleType, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Arguments as players, ties left out for both."""
    votes = [
        (row["item_a"], row["item_b"], CODES[vote["choice"]], vote["annotator"])
        for row in rows
        for vote in row["annotations"]
        if vote["choice"] != "tie"
    ]
    first, second, label, annotator = (np.array(column) for column in zip(*votes, strict=True))
    played = PairedComparisons.from_arrays(first, second, label, annotators=annotator)
    frame = importlib.import_module("pandas").DataFrame(
        {"left": first, "right": second, "worker": annotator, "label": np.where(label == A, first, second)}
    )
    own, seconds = timed(lambda: crowd_bt(played))
    peer, peer_seconds = timed(lambda: crowdkit.NoisyBradleyTerry(n_iter=100).fit_predict(frame))
    return {
        "seconds": seconds,
        "peer_seconds": peer_seconds,
        "rank_correlation": round(_rank_correlation(own.strength, peer.loc[played.players].to_numpy()), 4),
    }


def _choix(choix: ModuleType) -> dict[str, Any]:
    random = np.random.default_rng(2)
    strength = np.linspace(-1, 1, 20)
    played = games(strength, 100_000, random, tie=-5)
    kept = played.label != TIE
    first, second, label = played.first[kept], played.second[kept], played.label[kept]
    pairs = PairedComparisons.from_arrays(first, second, label)
    won = np.where((label == A)[:, None], np.stack([first, second], 1), np.stack([second, first], 1))
    ranked = [
        (drawn := random.choice(20, 5, replace=False))[np.argsort(-(strength[drawn] + random.gumbel(size=5)))]
        for _ in range(10_000)
    ]
    found = {}
    for name, ours, theirs in (
        ("pairs", lambda: bradley_terry(pairs, "plain"), lambda: choix.ilsr_pairwise(20, won.tolist())),
        ("rankings", lambda: plackett_luce(ranked), lambda: choix.ilsr_rankings(20, [list(row) for row in ranked])),
    ):
        own, seconds = timed(ours)
        peer, peer_seconds = timed(theirs)
        found[name] = {
            "seconds": seconds,
            "peer_seconds": peer_seconds,
            "times_faster": round(peer_seconds / seconds, 1),
            "largest_difference": float(np.abs(own.strength - (peer - peer.mean())).max()),
        }
    return found


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.argsort().argsort(), other.argsort().argsort())[0, 1])


if __name__ == "__main__":
    main()
