"""Which models read a prompt once for all of its responses while they are trained, and how long the rows are then."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

# Tried and tested: they take a mask [rows, 1, tokens, tokens] as it is, number tokens by `position_ids` alone, and
# their logits are their output layer's. Others read every sequence by itself.
FAMILIES = frozenset(
    {"llama", "mistral", "qwen2", "qwen3", "gemma", "gpt2", "gpt_neox", "phi3", "smollm3", "starcoder2"}
)
# Of these some have windows of attention, and then read every sequence by itself; an estimate takes them to.
MAY_HAVE_WINDOWS = frozenset({"mistral", "phi3", "starcoder2"})
# Tried and tested: on a CPU their grouped-query attention is computed without repeating keys and values.
GROUPED_QUERY = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma", "smollm3", "starcoder2"})
# Numbers in fp32 (32 MB): of so many tokens at a time are logits made where nothing is learned from them. A GPU is only
# busy with more (128 MB).
LOGITS_AT_ONCE, LOGITS_AT_ONCE_ON_A_GPU = 1 << 23, 1 << 25
# Responses that a policy draws side by side: on two cores 46 tokens/s at 8 rows and 58 at 32. A GPU would have time for
# more, but each takes room for its keys and values (7B, 1,024 tokens: half a gigabyte), and what fits was told for 32.
DRAWN_AT_ONCE = 32
# Tokens of a row at which attention takes as long as all the rest of a model: measured on the demo model, whose rows of
# 266 spend a quarter of their time on it; a wider model may have longer rows. Attention is computed between all tokens
# of a row, those that do not see each other too.
HALF = 900
# Layers whose repeated keys and values the one mask that is repeated instead may outweigh where layers learn. Where
# they are computed again it lies beside their inputs all the while, and grows with the square of the length.
LAYERS_IN_A_MASK = 4


def is_worth_its_mask(tokens: int, heads: int, key_heads: int, width: int, *, learning: bool) -> bool:
    """Whether the mask of rows of so many `tokens`, repeated for the heads that share keys, is no larger than their
    keys and values would be, repeated: of one layer where nothing is learned, as there is only one at a time."""
    layers = LAYERS_IN_A_MASK if learning else 1
    return heads // key_heads * tokens <= layers * 2 * (heads - key_heads) * width


def deal(sizes: Sequence[int], shared: int = 0) -> list[int]:
    """The row of each group of so many tokens, of which `shared` begin all groups alike and stand once in a row.

    Of the numbers of rows that give each about as many groups, the one with the least to compute: many short rows
    repeat the beginning, few long ones look at their neighbours, and all are padded to the longest."""
    numbers = {-(-len(sizes) // each) for each in range(1, len(sizes) + 1)}
    return min((_dealt(sizes, shared, number) for number in sorted(numbers)), key=lambda found: found[0])[1]


def _dealt(sizes: Sequence[int], shared: int, number: int) -> tuple[float, list[int]]:
    """The largest group first, each into the row that is the shortest so far; with what these rows cost."""
    rows, places = [(shared, row) for row in range(number)], [0] * len(sizes)
    for group in sorted(range(len(sizes)), key=lambda one: -sizes[one]):
        load, row = heapq.heappop(rows)
        heapq.heappush(rows, (load + sizes[group] - shared, row))
        places[group] = row
    longest = max(load for load, _ in rows)
    return number * longest * (1 + longest / HALF), places
