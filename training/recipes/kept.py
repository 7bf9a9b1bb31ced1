"""What a batch keeps between its forward and its backward pass, roughly and of any model: decides on gradient
checkpointing, in a run (training/ml/machine.py) and in its estimate."""

from __future__ import annotations

from typing import Any

from training.recipes.adapters import LOW_RANK

LOGIT_BYTES = 12  # for each logit: as computed and in float32, and the gradient of them
SINGLE = 4


def kept_bytes(
    config: Any, tokens: int, itemsize: int, *, layers: int, width: int, inner: int, vocabulary: int, transposed: bool
) -> int:
    """Bytes kept for `tokens` positions, padding included, `itemsize` bytes a number, without gradient checkpointing;
    `transposed` as `adds_as_computed` has it.

    tokens * (layers * itemsize * (10 width + 4 inner) + LOGIT_BYTES * vocabulary), after Korthikanti et al. 2022
    (Reducing Activation Recomputation in Large Transformer Models, section 4.1): of a layer the inputs of two norms
    and what they give, queries, keys, values, the attention's and the layer's outputs, and of a gated feed-forward
    both inner products, the activation and their product. The attention matrix is not kept by SDPA and flash attention.

    And where PEFT computes a low-rank adapter in fp32 beside a base of fewer digits, what it keeps of that: a copy of
    each layer's input in place of the input, with dropout which of it is left, and with DoRA each layer's output twice.
    """
    per_layer = itemsize * (10 * width + 4 * inner)
    if itemsize < SINGLE and getattr(config, "adapter", "") in LOW_RANK and not adds_as_computed(config, transposed):
        per_layer += 16 * width + 2 * inner
        if config.dropout:
            per_layer += 6 * width + inner
        if config.dora:
            per_layer += (itemsize + SINGLE) * (5 * width + 2 * inner)
    return tokens * (layers * per_layer + LOGIT_BYTES * vocabulary)


def adds_as_computed(config: Any, transposed: bool) -> bool:
    """Whether an adapter's product is added as it is computed (training/ml/low_rank.py); others are PEFT's, in fp32.
    `transposed`: the model's matrices are, as GPT-2's. A run that may be parted among processes is taken to be."""
    plain = config.adapter == "lora" and not (config.dora or config.dropout or transposed)
    return plain and getattr(config, "parallel", "ddp") == "ddp"
