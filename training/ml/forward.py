"""The one way from padded tokens to hidden states, whatever adapter the model carries."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import Cache

from training.ml.batching import Padded
from training.ml.encoder import EncoderForReward
from training.ml.errors import ModelError
from training.recipes.words import gettext_noop


@dataclass(frozen=True)
class Inputs:
    """What `body` is called with. The first `cut` positions of what it gives back are virtual tokens.

    Virtual tokens stand before every row, left padding included: mask and positions tell that the row's own tokens
    follow them at once, which is what they do where a text is not padded at all.
    """

    body: nn.Module
    arguments: dict[str, Tensor | Cache | None]
    cut: int

    @property
    def mask(self) -> Tensor:
        """Of virtual tokens, padding and text, (rows, virtual + longest)."""
        return self.arguments["attention_mask"]


def inputs(model: nn.Module, batch: Padded) -> Inputs:
    """How the model at work in `model` reads `batch`: PEFT's own forward would not take the positions."""
    body = model.get_base_model() if hasattr(model, "get_base_model") else model
    arguments = {
        "input_ids": batch.input_ids,
        "attention_mask": batch.attention_mask,
        "position_ids": batch.position_ids,
    }
    if first := getattr(body, "first_position", 0):
        arguments["position_ids"] = batch.position_ids + first
    count = virtual_tokens(model)
    if count == 0:
        return Inputs(body, arguments, 0)
    rows = len(batch.input_ids)
    before = batch.attention_mask.new_ones(rows, count)
    arguments["attention_mask"] = torch.cat([before, batch.attention_mask], dim=1)
    prompt = model.get_prompt(rows)
    if isinstance(prompt, Cache):  # keys and values of every layer: the text's positions begin behind them
        require_no_checkpointing(body)
        arguments |= {"position_ids": batch.position_ids + count, "past_key_values": prompt}
        return Inputs(body, arguments, 0)
    words = model.word_embeddings(batch.input_ids)
    virtual = torch.arange(count, device=words.device).expand(rows, count) + first
    arguments["position_ids"] = torch.cat([virtual, batch.position_ids + first + count], dim=1)
    arguments |= {"input_ids": None, "inputs_embeds": torch.cat([prompt.to(words.dtype), words], dim=1)}
    return Inputs(body, arguments, count)


def virtual_tokens(model: nn.Module) -> int:
    """How many stand before every text: 0 for other adapters, or where the adapter is switched off."""
    settings = getattr(model, "active_peft_config", None)
    if settings is None or not settings.is_prompt_learning or model._adapters_disabled:
        return 0
    return settings.num_virtual_tokens


def context_of(model: nn.Module) -> int | None:
    """How many tokens a text may have: virtual tokens at work take room. None where the context is not written down."""
    count = virtual_tokens(model)
    room = reach_of(model) if count else _positions_of(model)
    return None if room is None else room - count


def reach_of(model: nn.Module) -> int | None:
    """How many tokens virtual tokens and their text may have together: no more than a decoder's window of attention.
    It counts columns, padding between the two included: a text that is longer would see fewer of the virtual tokens,
    or more, by what shares its batch."""
    body = model.get_base_model() if hasattr(model, "get_base_model") else model
    known = [size for size in (_positions_of(model), _window_of(body)) if size is not None]
    return min(known, default=None)


def _positions_of(model: nn.Module) -> int | None:
    body = model.get_base_model() if hasattr(model, "get_base_model") else model
    positions = getattr(body.config.get_text_config(), "max_position_embeddings", None)
    return positions - getattr(body, "first_position", 0) if positions else None


def _window_of(body: nn.Module) -> int | None:
    """The columns that a decoder's layers with a window look back, the token's own included. An encoder is always
    padded behind its text."""
    if isinstance(body, EncoderForReward):
        return None
    config = body.config.get_text_config()
    kinds = getattr(config, "layer_types", None)
    # Some keep the size of a window that they do not use; where layers have kinds, these say whether they do.
    slides = kinds is None or "sliding_attention" in kinds
    sizes = [getattr(config, "sliding_window", None) if slides else None]
    if "chunked_attention" in (kinds or ()):
        sizes.append(getattr(config, "attention_chunk_size", None))
    if config.model_type == "gpt_neo" and "local" in config.attention_layers:
        sizes.append(config.window_size)
    return min((size for size in sizes if size), default=None)


def hidden_states(model: nn.Module, batch: Padded) -> Tensor:
    """The last layer's states of every position of `batch`, [rows, longest, width], with gradient."""
    read = inputs(model, batch)
    return read.body.base_model(**read.arguments, use_cache=False).last_hidden_state[:, read.cut :]


def loses_the_prefix() -> ModelError:
    return ModelError(
        "bad_config",
        gettext_noop("This adapter puts keys and values before the text, and gradient checkpointing loses them."),
        gettext_noop("Switch gradient checkpointing off, or choose another adapter."),
    )


def require_no_checkpointing(body: nn.Module) -> None:
    """Layers that are computed again are given no keys and values from before: silently, the prefix would be gone."""
    if body.training and getattr(body, "is_activation_checkpointing", False):
        raise loses_the_prefix()
