"""Truth inference and ratings: speed at a million judgments, smoothing, honest intervals.

    python -m benchmarks.truth [speed] [noise] [smoothing] [coverage] [prompts] [--data DIR]

Without a name, all five, one line of JSON each. Set OMP_NUM_THREADS=1: seconds are of processor time.
`smoothing` reads the two comparison files of DIR.
"""

import argparse
import gzip
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from annotate.statistics import confusion_em
from annotate.statistics.bradley_terry import bradley_terry
from annotate.statistics.crowd_bt import crowd_bt
from annotate.statistics.dawid_skene import DawidSkene, dawid_skene
from annotate.statistics.glad import glad
from annotate.statistics.judgments import Judgments
from annotate.statistics.mace import mace
from annotate.statistics.model_ratings import ModelRatings, model_ratings
from annotate.statistics.paired_comparisons import PairedComparisons
from annotate.statistics.tie_models import probabilities
from annotate.statistics.vote_shares import vote_shares

CODES = {"a": 0, "tie": 1, "b": 2}
FILES = ("comparisons_convarg.jsonl.gz", "comparisons_mqm_zhen.jsonl.gz")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="of: speed, noise, smoothing, coverage, prompts")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    options = parser.parse_args()
    parts: dict[str, Callable[[], Any]] = {
        "speed": speed,
        "noise": noise,
        "smoothing": lambda: smoothing(options.data),
        "coverage": coverage,
        "prompts": prompts,
    }
    chosen = options.parts or list(parts)
    if unknown := set(chosen) - set(parts):
        parser.error(f"unknown part: {', '.join(sorted(unknown))}")
    for name in chosen:
        print(json.dumps({name: parts[name]()}), flush=True)


def speed() -> dict[str, Any]:
    judgments, truth = crowd(200_000, 5, 2_000)
    played = games(np.linspace(-1, 1, 20), 1_000_000, np.random.default_rng(1))
    found = {}
    for method in (dawid_skene, mace, glad):
        result, seconds = timed(lambda method=method: method(judgments))
        found[method.__name__] = {
            "seconds": seconds,
            "steps": result.iterations,
            "converged": result.converged,
            "right": round(float((result.labels == truth).mean()), 4),
        }
    found["crowd_bt"] = _crowd_bt_of_pairs(judgments)
    result, seconds = timed(lambda: bradley_terry(played))
    found["bradley_terry, 20 players"] = {"seconds": seconds, "steps": result.iterations}
    return found


def noise() -> dict[str, Any]:
    """Dawid-Skene where labels are drawn at random, or next to it: with its leaps, and by plain EM."""
    found, random, first_leap = {}, np.random.default_rng(0), confusion_em.PLAIN
    for share in (0.97, 1.0):
        truth = random.integers(0, 3, 200_000)
        item = np.repeat(np.arange(truth.size), 5)
        annotator = (random.integers(0, 500, (truth.size, 1)) + np.arange(5) * 71) % 500
        guessed = random.random(item.size) < share
        label = np.where(guessed, random.integers(0, 3, item.size), truth[item])
        judgments = Judgments.from_arrays(item, annotator.ravel(), label)
        for name, first in (("leaping", first_leap), ("plain", confusion_em.MAX_STEPS)):
            confusion_em.PLAIN = first
            result, seconds = timed(partial(dawid_skene, judgments))
            reached = {"converged": result.converged, "log_posterior": round(float(result.log_likelihood[-1]), 1)}
            found[f"{share:.0%} at random, {name}"] = {"seconds": seconds, "steps": result.iterations, **reached}
        confusion_em.PLAIN = first_leap
    return found


def smoothing(data: Path) -> dict[str, Any]:
    """Held-out labels' mean log-probability (5 folds) by strength; and labels against those of the corpus."""
    strengths = (1, 2, 4, 8, 16, 32, 64)
    found: dict[str, Any] = {}
    for name in FILES:
        rows = read(data / name)
        judgments = coded(rows)
        found[name] = {
            "dawid_skene": {
                s: _held_out(judgments, lambda train, s=s: dawid_skene(train, strength=s)) for s in strengths
            },
            "mace": {
                s: _held_out(judgments, lambda train, s=s: _with_confusion(mace(train, strength=s))) for s in strengths
            },
        }
    rows = read(data / FILES[0])
    judgments, known = coded(rows), gold(rows)
    found["against the labels of the corpus"] = {
        method.__name__: against(known, method(judgments).probabilities)
        for method in (vote_shares, dawid_skene, mace, glad)
    }
    return found


def coverage(projects: int = 400) -> dict[str, Any]:
    """How often 95 % intervals of ratings hold the strength that 300,000 comparisons would give."""
    settings = {
        "5 models, 300 items x 3, items differ": (5, 300, 3, 1.0, -0.5),
        "5 models, 60 items x 3, items differ": (5, 60, 3, 1.0, -0.5),
        "5 models, 120 items x 5, items differ much": (5, 120, 5, 2.0, -0.5),
        "8 models, 200 items x 1": (8, 200, 1, 0.0, -1.0),
        "2 models, 40 items x 1": (2, 40, 1, 0.0, -0.5),
    }
    return {name: _coverage(projects, *setting) for name, setting in settings.items()}


def prompts(projects: int = 200) -> dict[str, Any]:
    """The same of models that are alike, each with one response to a prompt, all of which are compared; by clusters."""
    return {
        f"{n} prompts, {models} models, clustered by {by}": _of_prompts(projects, n, models, by == "prompt")
        for n, models in ((30, 10), (40, 6), (80, 4))
        for by in ("comparison", "prompt")
    }


def crowd(items: int, votes: int, annotators: int) -> tuple[Judgments, np.ndarray]:
    """Annotators know the label with their own probability (Beta(6, 3)) and guess otherwise."""
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, items)
    who = (random.integers(0, annotators, items)[:, None] + 7 * np.arange(votes)) % annotators
    knows = random.random((items, votes)) < random.beta(6, 3, annotators)[who]
    label = np.where(knows, truth[:, None], random.integers(0, 3, (items, votes)))
    return Judgments.from_arrays(np.repeat(np.arange(items), votes), who.ravel(), label.ravel()), truth


def games(
    strength: np.ndarray, n: int, random: np.random.Generator, overlap: int = 1, spread: float = 0.0, tie: float = -0.5
) -> PairedComparisons:
    first = random.integers(0, strength.size, n)
    second = (first + random.integers(1, strength.size, n)) % strength.size
    lead = strength[first] - strength[second] + random.normal(0, spread, n)
    first, second, lead, item = (np.repeat(column, overlap) for column in (first, second, lead, np.arange(n)))
    p = probabilities("davidson", lead, tie)
    label = (random.random(lead.size)[:, None] > p.cumsum(axis=1)[:, :2]).sum(axis=1)
    return PairedComparisons.from_arrays(first, second, label, items=item)


def read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def coded(rows: list[dict[str, Any]]) -> Judgments:
    votes = [(row["id"], vote["annotator"], CODES[vote["choice"]]) for row in rows for vote in row["annotations"]]
    return Judgments.from_arrays(*zip(*votes, strict=True))


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """The result, and the seconds of processor time: what the clock shows on an idle machine with one thread."""
    began = time.process_time()
    result = work()
    return result, round(time.process_time() - began, 3)


def _crowd_bt_of_pairs(judgments: Judgments) -> dict[str, Any]:
    """Every item a pair of two responses that are in no other."""
    pairs = PairedComparisons.from_arrays(
        2 * judgments.item,
        2 * judgments.item + 1,
        judgments.label,
        annotators=judgments.annotator,
        items=judgments.item,
    )
    result, seconds = timed(lambda: crowd_bt(pairs))
    return {"seconds": seconds, "steps": result.iterations, "converged": result.converged}


def _held_out(judgments: Judgments, fit: Callable[[Judgments], Any], folds: int = 5) -> float:
    fold = np.random.default_rng(0).integers(0, folds, len(judgments))
    total, n = 0.0, 0
    for out in range(folds):
        kept = fold != out
        seen, item = np.unique(judgments.item[kept], return_inverse=True)
        train = replace(
            judgments,
            items=judgments.items[seen],
            item=item,
            annotator=judgments.annotator[kept],
            label=judgments.label[kept],
        )
        found = fit(train)
        test = np.flatnonzero(~kept & np.isin(judgments.item, seen))
        posterior = found.probabilities[np.searchsorted(seen, judgments.item[test])]
        said = found.confusion[judgments.annotator[test], :, judgments.label[test]]
        total += float(np.log((posterior * said).sum(axis=1)).sum())
        n += test.size
    return round(total / n, 4)


def _with_confusion(found: Any) -> Any:
    knowing = found.competence[:, None, None]
    confusion = knowing * np.eye(3) + (1 - knowing) * found.spam[:, None, :]
    return DawidSkene(
        found.probabilities, found.reliability, found.converged, found.iterations, found.log_likelihood,
        confusion, confusion.mean(axis=0), found.probabilities.mean(axis=0),
    )  # fmt: skip


def gold(rows: list[dict[str, Any]]) -> np.ndarray:
    by_id = {row["id"]: CODES[row["source_gold"]] if row["source_gold"] else -1 for row in rows}
    return np.array([by_id[name] for name in sorted(by_id)])


def against(gold: np.ndarray, found: np.ndarray) -> dict[str, float]:
    known = gold >= 0
    leading = np.isclose(found, found.max(axis=1, keepdims=True), atol=1e-9)
    credit = leading[np.arange(gold.size), gold] / leading.sum(axis=1)
    doubt = -np.log(np.maximum(found[np.arange(gold.size), gold], 1e-3))
    return {"accuracy": round(float(credit[known].mean()), 4), "log_loss": round(float(doubt[known].mean()), 4)}


def _coverage(projects: int, models: int, items: int, overlap: int, spread: float, tie: float) -> dict[str, Any]:
    random = np.random.default_rng(1)
    strength = random.normal(0, 0.7, models)
    strength -= strength.mean()
    much = model_ratings(games(strength, 300_000, np.random.default_rng(9), spread=spread, tie=tie))
    true = dict(zip(much.models, (rating.value for rating in much.ratings), strict=True))
    inside, undefined = [], 0
    for _ in range(projects):
        found = model_ratings(games(strength, items, random, overlap, spread, tie))
        if not isinstance(found, ModelRatings):
            undefined += 1
            continue
        inside += [
            rating.low <= true[model] <= rating.high for model, rating in zip(found.models, found.ratings, strict=True)
        ]
    return {"covered": round(float(np.mean(inside)), 4), "intervals": len(inside), "undefined": undefined}


def _of_prompts(projects: int, number: int, models: int, by_prompt: bool) -> dict[str, Any]:
    random = np.random.default_rng(2)
    first, second = (np.tile(each, number) for each in np.triu_indices(models, 1))
    prompt = np.repeat(np.arange(number), first.size // number)
    inside, apart, even = [], [], []
    for _ in range(projects):
        quality = random.normal(0, 1.5, (number, models))
        p = probabilities("plain", quality[prompt, first] - quality[prompt, second], 0.0)
        label = np.where(random.random(prompt.size) < p[:, 0], 0, 2)
        clusters = prompt if by_prompt else None
        found = model_ratings(PairedComparisons.from_arrays(first, second, label, clusters=clusters))
        if isinstance(found, ModelRatings):
            inside += [rating.low <= 0 <= rating.high for rating in found.ratings]
            apart.append(len(found.groups) > 1)
            even += [rate.low <= 0.5 <= rate.high for row in found.win_rates for rate in row if rate]
    means = {"covered": inside, "told apart": apart, "win rates covered": even}
    return {name: round(float(np.mean(values)), 3) for name, values in means.items()}


if __name__ == "__main__":
    main()
