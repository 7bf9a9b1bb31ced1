"""Sequences of a batch in one row without padding, for attention kernels that keep them apart by their positions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.ml.forward import virtual_tokens
from training.ml.logprobs import Sequences


def packed_logits(model: nn.Module, sequences: Sequences) -> tuple[Tensor, Tensor, Tensor]:
    """As `logprobs.completion_logits`: logits [tokens, vocabulary], targets [tokens] and the row [tokens] of each.

    Positions begin anew with every sequence and no mask is given: from that transformers tells the kernel where one
    ends (flash attention's varlen), and SDPA a mask as large as the pack is long, squared.
    """
    device = next(model.parameters()).device
    body = model.get_base_model() if hasattr(model, "get_base_model") else model
    ids, positions, before, rows = laid_out(sequences)
    output = body(
        input_ids=torch.tensor([ids], device=device),
        position_ids=torch.tensor([positions], device=device),
        logits_to_keep=torch.tensor(before, device=device),
        use_cache=False,
    )
    targets = [ids[position + 1] for position in before]
    return output.logits[0].float(), torch.tensor(targets, device=device), torch.tensor(rows, device=device)


def laid_out(sequences: Sequences) -> tuple[list[int], list[int], list[int], list[int]]:
    """Tokens and positions of the pack; where in it the token before each completion token stands, and whose it is."""
    ids: list[int] = []
    positions: list[int] = []
    before: list[int] = []
    rows: list[int] = []
    for row, (prompt, completion) in enumerate(sequences):
        start = len(ids) + len(prompt) - 1
        before += range(start, start + len(completion))
        rows += [row] * len(completion)
        positions += range(len(prompt) + len(completion))
        ids += prompt + completion
    return ids, positions, before, rows


def can_be_packed(model: nn.Module) -> bool:
    """Virtual tokens stand before every sequence, and a pack has only one beginning."""
    return virtual_tokens(model) == 0
