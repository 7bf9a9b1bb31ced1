"""What a run is called unless somebody names it, and its renaming. Names are data that people of every language read:
they are put together from what is called the same in all of them, and are never translated."""

from typing import Any

from annotate.models import DemonstrationSet, FeedbackSet, Snapshot
from training.models import Artifact, Run

LONGEST = 120
LONGEST_MODEL = 60  # of a model that was itself trained, and is named by all of that
SEPARATOR = " · "


def name_of(
    recipe: str,
    config: dict[str, Any],
    *,
    model: Artifact | None = None,
    data: Snapshot | DemonstrationSet | FeedbackSet | None = None,
    seed: int = 0,
) -> str:
    """E.g. `reward · lora · SmolLM2 · s2`: what tells one run from the next, a seed only where one was chosen."""
    adapter = str(config.get("adapter") or "")
    source = f"s{data.number}" if isinstance(data, Snapshot) else str(data or "")
    chosen = f"seed {seed}" if seed else ""
    parts = (recipe, adapter, _short(str(model or "")), source, chosen)
    return SEPARATOR.join(part for part in parts if part)[:LONGEST]


def rename(run: Run, name: str) -> Run:
    """Nothing happens without a name; a model that it has made keeps its own."""
    if name := " ".join(name.split())[:LONGEST]:
        Run.objects.filter(pk=run.pk).update(name=name)
        run.name = name
    return run


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_MODEL else f"{name[: LONGEST_MODEL - 1].rstrip()}…"
