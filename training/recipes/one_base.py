"""Which models of a run stand on one base that is loaded once: they differ only in what was trained beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

# The models of a sampling run.
NEW, OLD, REWARD = "new", "old", "reward"
# A base, and the adapters that go onto it, in order.
Place = tuple[str, tuple[str, ...]]
# What is merged into fp32 weights. Beside the base a step of drawing takes an eighth longer with it, so one that
# answers is merged all the same; one that only scores is not asked often. On bf16 weights none is merged: it would be
# rounded.
MERGED = ("lora", "ia3", "")


def can_be_worn(method: str, *, single: bool, speaks: bool) -> bool:
    """Whether an adapter of this method ("" where it is not known) may stand beside a base that others share. `single`:
    in fp32; `speaks`: of a model that answers. One that has learned beside 4-bit weights would be another model beside
    these."""
    return method != "qlora" and not (single and speaks and method in MERGED)


def trunk_of(models: Sequence[Place], can_wear: Callable[[str], bool]) -> Place | None:
    """What most of these models are, or would be without their last adapter, if they can wear that: to be loaded once.
    None where it is not two of them. Of several that carry as many the one into which most was merged."""
    options = [option for model in models for option in _options(model, can_wear)]
    most = max(options, key=lambda option: (options.count(option), len(option[1])), default=None)
    return most if most is not None and options.count(most) > 1 else None


def stands_on(trunk: Place | None, model: Place, can_wear: Callable[[str], bool]) -> bool:
    return trunk is not None and trunk in _options(model, can_wear)


def _options(model: Place, can_wear: Callable[[str], bool]) -> list[Place]:
    base, adapters = model
    without = [(base, adapters[:-1])] if adapters and can_wear(adapters[-1]) else []
    return [model, *without]
