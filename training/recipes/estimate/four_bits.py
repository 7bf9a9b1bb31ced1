"""What NF4 takes off a model's weights."""

from __future__ import annotations

from training.recipes.estimate.layout import Architecture

# NF4: half a byte, a byte of scale for 64 of them, and 4 bytes for 256 scales (Dettmers et al. 2023, section 3).
PACKED = 1 / 2 + 1 / 64 + 4 / (64 * 256)


def saved_by_packing(model: Architecture, itemsize: int) -> int:
    """Bytes that the linear layers' matrices take less than with `itemsize` bytes a number."""
    packed = sum(layer.inputs * layer.outputs * count for layer, count in model.counted_linears())
    return int(packed * (itemsize - PACKED))
