"""The one path from a conversation to its reward, the same in training, evaluation and the pages that show it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.ml import cancel
from training.ml.batching import Padded, last_real, pad, sorted_batches
from training.ml.chat import Messages, encode


def rewards(model: PreTrainedModel, batch: Padded) -> torch.Tensor:
    """The score of each row, fp32, shape (rows,), with gradient.

    transformers looks for the last token that is not padding, by its id: where pad is EOS that is one token too early
    (and wrong wherever embeddings are given instead of ids). Here the position comes from the mask.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden = inner.base_model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        position_ids=batch.position_ids,
        use_cache=False,
    ).last_hidden_state
    rows = torch.arange(hidden.shape[0], device=hidden.device)
    return inner.score(hidden[rows, last_real(batch.attention_mask)].float()).squeeze(-1)


@torch.inference_mode()
def score(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[tuple[Messages, str]],
    batch_size: int,
    max_length: int | None = None,
) -> list[float]:
    """The reward of each (prompt messages, response text), in order; longer texts lose their end as in training."""
    sequences = [encode(tokenizer, messages, text, max_length).ids for messages, text in texts]
    found = [0.0] * len(sequences)
    for indices in sorted_batches([len(ids) for ids in sequences], batch_size):
        cancel.check()
        batch = pad([sequences[index] for index in indices], tokenizer.pad_token_id).to(model.device)
        for index, value in zip(indices, rewards(model, batch).tolist(), strict=True):
            found[index] = value
    return found
