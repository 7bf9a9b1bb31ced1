"""Held-out prompts of a run that the models it is made from were trained on: on these its figures flatter it."""

from collections.abc import Iterator
from typing import Any

from annotate.models import ItemKind, Split
from annotate.workflow.intake import content_hash
from training.models import Artifact, Run
from training.recipes import UNTRAINED


def seen_before(run: Run) -> dict[str, Any] | None:
    """{"prompts": held out, "seen": how many of these, "by": names of the models that were trained on some, the nearest
    first}; None where there are none. A split is by prompt and seed: another seed, a larger share or a set of
    demonstrations holds out what was trained on elsewhere."""
    if run.recipe in UNTRAINED:
        return None
    held_out: set[str] | None = None
    seen: set[str] = set()
    names: list[str] = []
    for artifact in _trained_before(run):
        held_out = prompts_of(run, Split.TEST) if held_out is None else held_out
        if known := held_out & prompts_of(artifact.run, Split.TRAIN):
            seen |= known
            names.append(artifact.name)
    return {"prompts": len(held_out), "seen": len(seen), "by": names} if held_out and seen else None


def prompts_of(run: Run, split: Split) -> set[str]:
    """By their hash, which is what splits go by."""
    if run.demonstrations or run.feedback:
        rows = run.demonstrations.demonstrations if run.demonstrations else run.feedback.votes
        messages = rows.filter(split=split).order_by().values_list("messages", flat=True)
        return {content_hash(each) for each in messages.iterator(chunk_size=2000)}
    if run.snapshot is None:
        return set()
    items = run.snapshot.items.filter(split=split).order_by()
    if split == Split.TEST or run.config.get("ties", "drop") == "drop":
        items = items.exclude(kind=ItemKind.TIE)
    return set(items.values_list("comparison__prompt__content_hash", flat=True).distinct())


def _trained_before(run: Run) -> Iterator[Artifact]:
    """What a training run has made, of all that went into this one: its start and its reward model, and theirs."""
    layer, known = [run.model, run.reward_model], set()
    while layer:
        layer = [artifact for artifact in layer if artifact is not None and artifact.pk not in known]
        known |= {artifact.pk for artifact in layer}
        made = [artifact for artifact in dict.fromkeys(layer) if artifact.run is not None]
        yield from (artifact for artifact in made if artifact.run.recipe not in UNTRAINED)
        layer = [each for artifact in made for each in (artifact.run.model, artifact.run.reward_model)]
