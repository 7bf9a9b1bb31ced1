"""The one path from a conversation to its reward, the same in training, evaluation and the pages that show it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.ml import cancel
from training.ml.batching import Padded, last_real, pad, sorted_batches
from training.ml.chat import Messages, encode
from training.ml.encoder import EncoderForReward
from training.ml.forward import hidden_states
from training.ml.prompts_once import shared_features, worthwhile_rows

if TYPE_CHECKING:
    from training.ml.adapter_ensemble import Members


def rewards(model: nn.Module, batch: Padded) -> torch.Tensor:
    """The score of each row, fp32, shape (rows,), with gradient; of an ensemble the mean of its members."""
    return member_rewards(model, batch).mean(dim=1)


def member_rewards(model: nn.Module, batch: Padded) -> torch.Tensor:
    """The scores by every member of an ensemble, fp32, shape (rows, members); one member for a plain reward model."""
    return _by_members(model, lambda: features(model, batch))


def member_rewards_of(model: nn.Module, texts: Sequence[tuple[list[int], list[int]]], pad_id: int) -> torch.Tensor:
    """As `member_rewards`, of prompts and their responses as tokens: what texts of one prompt share is read once where
    the model can do that."""
    sequences, prompts = [prompt + response for prompt, response in texts], [tuple(prompt) for prompt, _ in texts]
    if rows := worthwhile_rows(model, sequences, prompts):
        return _by_members(model, lambda: shared_features(model, rows))
    return member_rewards(model, pad(sequences, pad_id).to(next(model.parameters()).device))


def _by_members(model: nn.Module, read: Callable[[], torch.Tensor]) -> torch.Tensor:
    """The head on what `read` gives, [texts, width]; members with adapters of their own read each for itself."""
    score, members = inner(model).score, members_of(model)
    return members.scores(lambda: score(read())) if members else score(read())


def members_of(model: nn.Module) -> Members | None:
    """The members of an ensemble of adapters (training/ml/adapter_ensemble.py)."""
    return vars(model).get("adapter_members")


def features(model: nn.Module, batch: Padded) -> torch.Tensor:
    """What the head is put to, fp32, shape (rows, width): of a decoder the state of the last real token, which has read
    all others; of an encoder, where each has, the mean over the text's tokens.

    transformers looks for the last token that is not padding, by its id: where pad is EOS that is one token too early
    (and wrong wherever embeddings are given instead of ids). Here the position comes from the mask.
    """
    hidden = hidden_states(model, batch)
    if isinstance(inner(model), EncoderForReward):
        mask = batch.attention_mask[:, :, None]
        return (hidden.float() * mask).sum(dim=1) / mask.sum(dim=1)
    rows = torch.arange(hidden.shape[0], device=hidden.device)
    return hidden[rows, last_real(batch.attention_mask)].float()


def inner(model: nn.Module) -> nn.Module:
    """The model inside of PEFT's."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


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
