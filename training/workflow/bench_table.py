"""A bench as a table: quality, calibration and cost of every method, and which of them can be told apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotate.lists import listed
from training.models import Bench, Run, RunState
from training.recipes.dpo import LOG_ODDS
from training.recipes.titles import ADAPTERS
from training.workflow.benches import refusal_of
from training.workflow.figures import Figure, figure_of, half_width
from training.workflow.runs import reason_of

FORMS = ("unmerged", "merged")
# What a table can be ordered by; of quality the highest comes first, of costs the lowest.
QUALITY = ("accuracy",)
COSTS = ("ece", "trainable", "weights_bytes", "seconds", "peak_bytes", *FORMS)
SORTS = ("method", *QUALITY, *COSTS)
COLUMNS = (
    "method", "state", "run", "accuracy", "accuracy_low", "accuracy_high", "n", "ece", "ece_low", "ece_high",
    "trainable", "trainable_percent", "weights_bytes", "seconds", "peak_bytes", "base_seconds",
    "unmerged_seconds", "unmerged_ratio", "unmerged_low", "unmerged_high",
    "merged_seconds", "merged_ratio", "merged_low", "merged_high", "learning_rate", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """A method. `accuracy` and `ece` are None as long as there is no product; `unmerged` and `merged` are times a text
    as a multiple of the base's; `reason`: why there is no result."""

    method: str
    title: str
    run: Run | None = None
    accuracy: Figure | None = None
    ece: Figure | None = None
    trainable: int | None = None
    percent: float | None = None
    weights_bytes: int | None = None
    seconds: float | None = None
    peak_bytes: int | None = None
    latency: dict[str, Any] | None = None
    features: dict[str, Any] | None = None
    unmerged: Figure | None = None
    merged: Figure | None = None
    learning_rate: float | None = None
    reason: str = ""

    @property
    def state(self) -> str:
        return self.run.state if self.run else "refused"

    def value(self, name: str) -> float | None:
        found = getattr(self, name)
        return found.value if isinstance(found, Figure) else found


def cells_of(bench: Bench, bench_runs: Sequence[Run], sort: str = "method") -> list[Cell]:
    """The runs come with their artifact. A method without a value stands last, whatever the order."""
    by_method = {run.config["adapter"]: run for run in bench_runs}
    names = [name for name in ADAPTERS if name in by_method or name in bench.refused]
    cells = [_cell(bench, name, by_method.get(name)) for name in names]
    if sort not in (*QUALITY, *COSTS):
        return cells
    sign = -1 if sort in QUALITY else 1
    return sorted(cells, key=lambda cell: (cell.value(sort) is None, sign * (cell.value(sort) or 0)))


def rows_of(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Numbers as they are, by COLUMNS."""
    return [_row(cell) for cell in cells]


def told_of(cells: Sequence[Cell]) -> list[str]:
    """What the accuracies do not tell: how narrow they are, and which methods cannot be told from the best."""
    known = [cell for cell in cells if cell.accuracy is not None and cell.accuracy.value is not None]
    if not known:
        few = next((cell.accuracy.note for cell in cells if cell.accuracy is not None), "")
        return [few] if few else []
    n = min(cell.accuracy.n for cell in known)
    half = f"{half_width(n):.0f}"
    said = [
        *filter(None, map(_reading_told, cells)),
        ngettext(
            "With %(n)s held-out pair an accuracy is known to about ±%(half)s points.",
            "With %(n)s held-out pairs an accuracy is known to about ±%(half)s points.",
            n,
        )
        % {"n": n, "half": half},
    ]
    if len(known) < 2:
        return said
    best = max(known, key=lambda cell: cell.accuracy.value)
    near = [cell for cell in known if cell is not best and cell.accuracy.high >= best.accuracy.low]
    if not near:
        return [*said, _("%(best)s is better than all others: the intervals do not overlap.") % {"best": best.title}]
    facts = {"best": best.title, "names": listed(cell.title for cell in near)}
    if len(near) == len(known) - 1:
        return [
            *said,
            _("No method can be told from %(best)s, the best of them: all intervals overlap with its.") % facts,
        ]
    return [
        *said,
        _("These cannot be told from %(best)s, the best of them: %(names)s. Their intervals overlap.") % facts,
    ]


def _reading_told(cell: Cell) -> str:
    """Of a method that learns from what the bare model has made of the texts: what its time holds of the reading."""
    features = cell.features
    if not features or "seconds" not in features:
        return ""
    facts = {"title": cell.title, **features}
    said = _("%(title)s: its time holds %(seconds)s s in which the bare model read all texts, the held-out ones too.")
    if features["reused"]:
        said = ngettext(
            "%(title)s: its time holds no reading of %(reused)s text, whose features an earlier run had kept.",
            "%(title)s: its time holds no reading of %(reused)s texts, whose features an earlier run had kept.",
            features["reused"],
        )
    return said % facts


def _cell(bench: Bench, method: str, run: Run | None) -> Cell:
    title = _(ADAPTERS[method])
    if run is None:
        return Cell(method, title, reason=refusal_of(bench, method))
    artifact = getattr(run, "artifact", None)
    rate = run.config.get("head_learning_rate" if method == "head" else "learning_rate")
    if artifact is None:
        reason = reason_of(run) if run.state in (RunState.FAILED, RunState.CANCELLED) else ""
        return Cell(method, title, run, learning_rate=rate, reason=reason)
    manifest = artifact.manifest
    metrics, parameters = manifest.get("metrics") or {}, manifest.get("parameters") or {}
    peak, latency = manifest.get("peak") or {}, manifest.get("latency") or {}
    features = manifest.get("features") or {}
    ece = (metrics.get("calibration") or {}).get("ece") if _speaks_of_odds(run) else None
    total = parameters.get("total")
    return Cell(
        method,
        title,
        run,
        accuracy=figure_of("accuracy", "", metrics["accuracy"]) if "accuracy" in metrics else None,
        ece=figure_of("ece", "", ece) if ece else None,
        trainable=parameters.get("trainable"),
        percent=100 * parameters.get("trainable", 0) / total if total else None,
        weights_bytes=manifest.get("weights_bytes"),
        seconds=manifest["seconds"] + features.get("seconds", 0) if "seconds" in manifest else None,
        peak_bytes=peak.get("gpu_memory_bytes") or peak.get("memory_bytes"),
        latency=latency or None,
        features=features or None,
        unmerged=_ratio(latency.get("unmerged")),
        merged=_ratio(latency.get("merged")),
        learning_rate=rate,
    )


def _speaks_of_odds(run: Run) -> bool:
    """Whether its margins are log-odds, which alone can be calibrated. Runs of older versions have a figure of every
    loss."""
    return run.recipe != "dpo" or run.config.get("loss", LOG_ODDS[0]) in LOG_ODDS


def _ratio(timing: dict[str, Any] | None) -> Figure | None:
    """Or why there is none."""
    return figure_of("latency", "", timing.get("ratio", timing)) if timing else None


def _row(cell: Cell) -> dict[str, Any]:
    latency = cell.latency or {}
    timed = {}
    for form in FORMS:
        ratio = getattr(cell, form)
        timed |= {
            f"{form}_seconds": (latency.get(form) or {}).get("value"),
            f"{form}_ratio": ratio.value if ratio else None,
            f"{form}_low": ratio.low if ratio else None,
            f"{form}_high": ratio.high if ratio else None,
        }
    row = {
        "method": cell.method,
        "state": cell.state,
        "run": cell.run.pk if cell.run else None,
        **_bounds("accuracy", cell.accuracy),
        "n": cell.accuracy.n if cell.accuracy else None,
        **_bounds("ece", cell.ece),
        "trainable": cell.trainable,
        "trainable_percent": cell.percent,
        "weights_bytes": cell.weights_bytes,
        "seconds": cell.seconds,
        "peak_bytes": cell.peak_bytes,
        "base_seconds": (latency.get("base") or {}).get("value"),
        **timed,
        "learning_rate": cell.learning_rate,
        "reason": cell.reason,
    }
    return {name: row[name] for name in COLUMNS}


def _bounds(name: str, figure: Figure | None) -> dict[str, float | None]:
    parts = {"": "value", "_low": "low", "_high": "high"}
    return {f"{name}{end}": getattr(figure, part) if figure else None for end, part in parts.items()}
