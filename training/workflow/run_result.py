"""What came of a run, for programs: what it says of itself, with the figures and the name of the model it has made."""

from typing import Any

from training.models import Artifact, Run

# Texts that a manifest keeps among its metrics: `runs/<id>/samples/` has them.
TEXTS = ("samples",)


def result_with_figures(run: Run) -> dict[str, Any]:
    """`Run.result`; of a run that has made a model also `metrics`, the figures of its manifest, each a number or
    {"value", "low", "high", "n"}, and `artifact`: {"id", "name", "deleted"}. The figures of a model outlive it. What
    flatters them is beside them, `seen_before`, where there is any (seen_before.py)."""
    artifact: Artifact | None = getattr(run, "artifact", None)
    if artifact is None:
        return dict(run.result)
    metrics = artifact.manifest.get("metrics") or {}
    seen = (artifact.manifest.get("lineage") or {}).get("seen_before")
    return {
        **run.result,
        "metrics": {name: value for name, value in metrics.items() if name not in TEXTS},
        **({"seen_before": seen} if seen else {}),
        "artifact": {"id": artifact.pk, "name": artifact.name, "deleted": artifact.deleted_at is not None},
    }
