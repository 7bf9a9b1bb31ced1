"""Held-out prompts of a run that the models it is made from were trained on: on these its figures flatter it."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import ngettext

from annotate.lists import listed
from annotate.models import DemonstrationSet, FeedbackSet, ItemKind, Snapshot, Split
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


def in_words(seen: dict[str, Any] | None) -> str:
    """What is to be said of a run that is about to be started."""
    if not seen:
        return ""
    said = ngettext(
        "%(n)s of %(total)s held-out prompts has been trained on before, by %(names)s: the figures will flatter this "
        "run. Data that was split with the same seed and the same share holds the same prompts out.",
        "%(n)s of %(total)s held-out prompts have been trained on before, by %(names)s: the figures will flatter this "
        "run. Data that was split with the same seed and the same share holds the same prompts out.",
        seen["seen"],
    )
    return said % {"n": seen["seen"], "total": seen["prompts"], "names": listed(f"“{name}”" for name in seen["by"])}


def run_to_be(
    recipe: str,
    config: dict[str, Any],
    model: Artifact,
    *,
    snapshot: Snapshot | None = None,
    demonstrations: DemonstrationSet | None = None,
    feedback: FeedbackSet | None = None,
    reward: Artifact | Mapping[str, Any] | None = None,
    tuned: str = "",
) -> Run:
    """Of a form, and not stored. `reward`: settings are of a reward model that will learn from the same snapshot.
    `tuned`: the name of the stage that fine-tunes the model on the demonstrations first, where there is one."""
    if tuned and recipe != "sft":
        model = Artifact(name=tuned, run=Run(recipe="sft", model=model, demonstrations=demonstrations))
    learns_from = (
        {"demonstrations": demonstrations} if recipe == "sft" else {"snapshot": snapshot, "feedback": feedback}
    )
    judge = reward if isinstance(reward, Artifact) else None
    return Run(recipe=recipe, config=config, model=model, reward_model=judge, **learns_from)


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
        new = {artifact.pk: artifact for artifact in layer if artifact is not None and artifact.pk not in known}
        known |= new.keys()
        made = [artifact for artifact in new.values() if artifact.run is not None]
        yield from (artifact for artifact in made if artifact.run.recipe not in UNTRAINED)
        layer = [each for artifact in made for each in (artifact.run.model, artifact.run.reward_model)]
