"""Log-probabilities of completions under a policy, with logits only where they predict a completion."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.ml.batching import pad
from training.ml.forward import inputs
from training.ml.prompts_once import shared_logits, worthwhile_rows
from training.ml.sharded import forward_of

PAD = 0  # padding is masked: its token does not matter
Sequences = Sequence[tuple[list[int], list[int]]]  # (prompt tokens, completion tokens)


def completion_logits(
    model: nn.Module, sequences: Sequences, stems: Sequence[list[int]] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits [tokens, vocabulary] in float32, target tokens [tokens] and the row [tokens] each belongs to.

    What is shared by sequences of one prompt is computed once where the model can do that; `stems` are their prompts
    where what counts as a completion begins within one.
    """
    groups = [tuple(stem) for stem in stems or [prompt for prompt, _ in sequences]]
    rows = worthwhile_rows(model, [prompt + completion for prompt, completion in sequences], groups)
    return shared_logits(model, rows, sequences) if rows else padded_logits(model, sequences)


def padded_logits(model: nn.Module, sequences: Sequences) -> tuple[Tensor, Tensor, Tensor]:
    """As `completion_logits`, each sequence by itself.

    Padded on the left, so that all completions end together and the model itself can skip the prompts' logits
    (`logits_to_keep`): that keeps whatever scaling or capping an architecture does to its logits.
    """
    device = next(model.parameters()).device
    batch = pad([prompt + completion for prompt, completion in sequences], PAD, side="left").to(device)
    kept = max(len(completion) for _, completion in sequences)
    read = inputs(model, batch)
    output = forward_of(read.body)(**read.arguments, logits_to_keep=kept + 1, use_cache=False)
    lengths = torch.tensor([len(completion) for _, completion in sequences], device=device)
    completions = torch.arange(kept, device=device) >= kept - lengths[:, None]
    logits = output.logits[:, :-1][completions].float()  # the last position predicts what nobody wrote
    return logits, batch.input_ids[:, -kept:][completions], completions.nonzero()[:, 0]
