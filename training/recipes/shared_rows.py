"""Which models read a prompt once for all of its responses while they are trained, and how long the rows are then."""

from __future__ import annotations

# Tried and tested: they take a mask [rows, 1, tokens, tokens] as it is, number tokens by `position_ids` alone, and
# their logits are their output layer's. Others read every sequence by itself.
FAMILIES = frozenset(
    {"llama", "mistral", "qwen2", "qwen3", "gemma", "gpt2", "gpt_neox", "phi3", "smollm3", "starcoder2"}
)
# Of these some have windows of attention, and then read every sequence by itself; an estimate takes them to.
MAY_HAVE_WINDOWS = frozenset({"mistral", "phi3", "starcoder2"})
# Tokens of a row, where no group alone is longer. More would share more beginnings and be padded less, but attention
# is computed between all tokens of a row, those that do not see each other too.
ROOM = 384


def rows_for(sizes: int, largest: int) -> int:
    """How many rows hold groups of `sizes` tokens together, of which the largest group has `largest`."""
    return -(-sizes // max(ROOM, largest))
