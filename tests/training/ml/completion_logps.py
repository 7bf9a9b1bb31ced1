"""What tests ask of a policy: how likely it finds whole completions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.ml.logprobs import Sequences, completion_logits


def completion_logps(model: nn.Module, sequences: Sequences) -> Tensor:
    """Summed log-probability of each completion, [sequences]."""
    logits, targets, rows = completion_logits(model, sequences)
    chosen = logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(dim=1)
    return torch.zeros(len(sequences), device=logits.device).index_add(0, rows, chosen)
