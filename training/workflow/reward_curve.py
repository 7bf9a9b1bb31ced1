"""Held-out accuracy of a project's reward models against the pairs they learned from, where runs can be compared."""

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from annotate.models import Project
from annotate.statistics.estimate import Estimate, Outcome, Reason, Undefined
from annotate.statistics.learning_curve import CurvePoint, accuracy_with, gain_with
from training.models import Artifact

# Of the most pairs there were: further than that a curve is a guess.
TIMES = (1.5, 2.0, 4.0)
# Of snapshots whose rows differ in number alone: who is held out leaves fewer votes to a label.
QUERY = ("test_share", "seed", "adjudicated_first", "annotator_share")


def reward_curve(project: Project) -> dict[str, Any]:
    """The points of the runs that differ in nothing but their data and seed, and what more pairs would bring.

    Several such groups: that with the most sizes counts. `reason` where fewer than three sizes are there, or no rise.
    """
    measured = list(_measured(project))
    points = _largest_group(measured)
    curve = [CurvePoint(point["pairs"], point["accuracy"]) for point in points]
    more = [_with_more(curve, times) for times in TIMES] if curve else []
    gains = [gain for _row, gain in more]
    why = next((gain for gain in gains if isinstance(gain, Undefined)), None if gains else _too_few())
    return {
        "n_runs": len(measured),
        "n_sizes": len({point["pairs"] for point in points}),
        "points": [{**point, "accuracy": point["accuracy"].as_json()} for point in points],
        "more": [] if why else [row for row, _gain in more],
        "reason": str(why.reason) if why else None,
    }


def _measured(project: Project) -> Iterable[tuple[str, dict[str, Any]]]:
    """What makes runs comparable, and the point, of every reward model with a held-out accuracy, deleted ones too."""
    rows = Artifact.ever.filter(project=project, run__recipe="reward", snapshot__isnull=False)
    for artifact in rows.select_related("run", "run__model", "snapshot").order_by("pk"):
        accuracy = _accuracy(artifact.manifest)
        pairs = (artifact.manifest.get("data") or {}).get("train") or 0
        if accuracy is None or pairs < 1:
            continue
        run, snapshot = artifact.run, artifact.snapshot
        held_out = {name: snapshot.query.get(name) for name in QUERY}
        same = [run.model_id, run.config, snapshot.aggregation, held_out]
        yield (
            json.dumps(same, sort_keys=True),
            {
                "run": run.pk,
                "model": artifact.name,
                "start": run.model.name if run.model else "",
                "snapshot": snapshot.number,
                "pairs": pairs,
                "accuracy": accuracy,
            },
        )


def _accuracy(manifest: dict[str, Any]) -> Estimate | None:
    found = (manifest.get("metrics") or {}).get("accuracy")
    if not isinstance(found, dict) or any(found.get(name) is None for name in ("value", "low", "high")):
        return None
    return Estimate(value=found["value"], low=found["low"], high=found["high"], n=found.get("n") or 0)


def _largest_group(measured: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """In the order of their sizes; of equal groups the newest."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for same, point in measured:
        groups[same].append(point)
    sizes = {same: len({point["pairs"] for point in group}) for same, group in groups.items()}
    best = max(groups, key=lambda same: (sizes[same], len(groups[same]), groups[same][-1]["run"]), default="")
    return sorted(groups[best], key=lambda point: (point["pairs"], point["run"])) if best else []


def _with_more(curve: list[CurvePoint], times: float) -> tuple[dict[str, Any], Outcome]:
    n = round(times * max(point.n for point in curve))
    gain = gain_with(curve, n)
    return {"times": times, "pairs": n, "accuracy": accuracy_with(curve, n).as_json(), "gain": gain.as_json()}, gain


def _too_few() -> Undefined:
    return Undefined(Reason.TOO_FEW_POINTS)
