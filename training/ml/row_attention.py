"""Which models can read rows that hold several sequences, and how they are told who sees whom."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import Cache

from training.ml.forward import Inputs, require_no_checkpointing, virtual_tokens
from training.ml.mixed import attends_in
from training.ml.prompt_rows import Rows
from training.recipes.shared_rows import FAMILIES
from training.recipes.words import gettext_noop

ONCE = gettext_noop("computed once for all responses")
OF_ANOTHER_FAMILY = gettext_noop("computed with every response: models of this family are not known to keep them apart")
UNDER_FLASH = gettext_noop("computed with every response: this kind of attention could not keep them apart")
THROUGH_WINDOWS = gettext_noop("computed with every response: the model attends to a window of the text")
LINE = 16  # numbers of a mask that a GPU's kernels may read at once


def can_read_rows(model: nn.Module) -> bool:
    return how_prompts_are_read(model) == ONCE


def how_prompts_are_read(model: nn.Module) -> str:
    """For the page. Flash attention takes no mask, and a window of attention counts columns and not positions."""
    body = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = body.config.get_text_config()
    if config.model_type not in FAMILIES:
        return OF_ANOTHER_FAMILY
    if body.config._attn_implementation != "sdpa":
        return UNDER_FLASH
    # Qwen keeps the size of a window that it does not use; its layers say whether they do.
    sized = getattr(config, "sliding_window", None) is not None and config.model_type not in ("qwen2", "qwen3")
    if sized or set(getattr(config, "layer_types", None) or ["full_attention"]) != {"full_attention"}:
        return THROUGH_WINDOWS
    return ONCE


def row_inputs(model: nn.Module, rows: Rows, read: int = 0) -> Inputs:
    """As `forward.inputs`: virtual tokens stand before every row, and every sequence in it sees them. So are as many
    tokens as have been `read` before, whose keys and values the caller has; of a model without virtual tokens."""
    body = model.get_base_model() if hasattr(model, "get_base_model") else model
    before = rows.visible.new_ones(*rows.visible.shape[:3], read)
    arguments = {
        "input_ids": rows.input_ids,
        "attention_mask": _added(torch.cat([before, rows.visible], dim=3) if read else rows.visible, body),
        "position_ids": rows.position_ids + read,
    }
    count = virtual_tokens(model)
    if count == 0:
        return Inputs(body, arguments, 0)
    number, longest = rows.input_ids.shape
    prompt = model.get_prompt(number)
    seen = rows.visible.new_ones(number, 1, longest, count)
    if isinstance(prompt, Cache):  # keys and values of every layer
        require_no_checkpointing(body)
        mask = torch.cat([seen, rows.visible], dim=3)
        arguments |= {
            "attention_mask": _added(mask, body),
            "position_ids": rows.position_ids + count,
            "past_key_values": prompt,
        }
        return Inputs(body, arguments, 0)
    words = model.word_embeddings(rows.input_ids)
    virtual = torch.arange(count, device=words.device).expand(number, count)
    arguments |= {
        "input_ids": None,
        "inputs_embeds": torch.cat([prompt.to(words.dtype), words], dim=1),
        "attention_mask": _added(_behind(rows.visible, seen), body),
        "position_ids": torch.cat([virtual, rows.position_ids + count], dim=1),
    }
    return Inputs(body, arguments, count)


def _added(visible: Tensor, body: nn.Module) -> Tensor:
    """As a number to be added to the attention: the kernel would make one of a boolean mask anew in every layer, and
    that of a GPU of one whose lines do not begin at a multiple of so many numbers."""
    *shape, width = visible.shape
    kind, line = attends_in(body), -(-width // LINE) * LINE if in_lines(visible.device) else width
    found = torch.zeros(*shape, line, dtype=kind, device=visible.device)[..., :width]
    return found.masked_fill_(~visible, torch.finfo(kind).min)


def in_lines(device: torch.device) -> bool:
    """Whether the kernels of attention there want the lines of a mask to begin at a multiple of LINE numbers."""
    return device.type != "cpu"


def _behind(visible: Tensor, seen: Tensor) -> Tensor:
    """The mask of virtual tokens, each of which sees those before it, and of the rows behind them."""
    number, _, longest, count = seen.shape
    virtual = visible.new_ones(count, count).tril().expand(number, 1, count, count)
    above = torch.cat([virtual, visible.new_zeros(number, 1, count, longest)], dim=3)
    return torch.cat([above, torch.cat([seen, visible], dim=3)], dim=2)
