"""Log-probabilities of completions token by token, and the sums and means that losses are made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.ml.logprobs import Sequences, completion_logits
from training.ml.pairs import Pair

Tokens = list[Tensor]  # for each sequence the log-probabilities of its completion's tokens, [its length], float32


def token_logps(model: nn.Module, sequences: Sequences, stems: Sequence[list[int]] | None = None) -> Tokens:
    """One forward pass over all (prompt, completion) pairs of tokens; `stems` as `completion_logits` has them."""
    logits, targets, _rows = completion_logits(model, sequences, stems)  # row after row
    found = logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(dim=1)
    return list(found.split([len(completion) for _, completion in sequences]))


def both_sides(batch: Sequence[Pair]) -> list[tuple[list[int], list[int]]]:
    """The chosen responses of a batch of pairs, then the rejected ones, each behind its prompt."""
    chosen = [(pair.prompt_ids, pair.chosen_ids) for pair in batch]
    return chosen + [(pair.prompt_ids, pair.rejected_ids) for pair in batch]


def totals(tokens: Tokens) -> Tensor:
    """Log-probability of each sequence, [sequences]."""
    return torch.stack([one.sum() for one in tokens])


def means(tokens: Tokens) -> Tensor:
    """Mean log-probability per token of each sequence, [sequences]."""
    return torch.stack([one.mean() for one in tokens])


def lengths(tokens: Tokens) -> Tensor:
    """Tokens of each sequence, [sequences]."""
    return torch.tensor([len(one) for one in tokens], device=tokens[0].device)


def desensitised(tokens: Tokens, others: Tokens, alpha: float) -> Tensor:
    """Sums in which tokens beyond the length of the pair's other response count `alpha` each, [sequences].

    LD-DPO (Liu et al. 2024, Length Desensitization in DPO): 1 is the plain sum, 0 looks at the shared length alone.
    """
    if alpha == 1:
        return totals(tokens)
    shared = [min(len(one), len(other)) for one, other in zip(tokens, others, strict=True)]
    return torch.stack([one[:n].sum() + alpha * one[n:].sum() for one, n in zip(tokens, shared, strict=True)])


def batch_nll(tokens: Tokens) -> Tensor:
    """Negative log-likelihood of each sequence, scaled so that their mean is the one over all the batch's tokens,
    [sequences]. TRL averages so; it makes a token of a short response count as much as one of a long one, and the loss
    depend a little on which sequences share a batch."""
    return -totals(tokens) * len(tokens) / lengths(tokens).sum()
