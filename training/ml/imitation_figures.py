"""Measures how well a policy imitates held-out demonstrations, before and after its training."""

from __future__ import annotations

import torch
from torch import nn

from training.ml.demonstrations import Demonstration
from training.ml.evaluate import Figures
from training.ml.intervals import exponential, mean, ratio
from training.ml.logprobs import completion_logits
from training.ml.policy_figures import batches, per_token_kl
from training.ml.reference import Start


def imitation_figures(policy: nn.Module, start: Start, held_out: list[Demonstration], batch_size: int) -> Figures:
    """Loss and perplexity per token and the share of tokens that are the likeliest one, of the policy and of its start
    (`_before`), and the KL to the start. Demonstrations, not tokens, are the independent units of the intervals."""
    sequences = [(one.prompt_ids, one.completion_ids) for one in held_out]
    figures = per_token(policy, held_out, batch_size)
    with start() as frozen:
        before = per_token(frozen, held_out, batch_size)
    figures |= {f"{name}_before": figure for name, figure in before.items()}
    return {**figures, "kl": mean(per_token_kl(policy, start, sequences))}


@torch.no_grad()
def per_token(model: nn.Module, held_out: list[Demonstration], batch_size: int) -> Figures:
    """{"loss", "perplexity", "token_accuracy"} over all tokens of the responses, EOS included."""
    sums: list[float] = []
    hits: list[float] = []
    units: list[int] = []
    for batch in batches(held_out, batch_size):
        logits, targets, rows = completion_logits(model, [(one.prompt_ids, one.completion_ids) for one in batch])
        empty = torch.zeros(len(batch), device=logits.device)
        nll = logits.logsumexp(dim=1) - logits.gather(1, targets[:, None])[:, 0]
        sums += empty.index_add(0, rows, nll).tolist()
        hits += empty.index_add(0, rows, (logits.argmax(dim=1) == targets).float()).tolist()
        units += [one.units for one in batch]
    loss = ratio(sums, units)
    return {"loss": loss, "perplexity": exponential(loss), "token_accuracy": ratio(hits, units)}
