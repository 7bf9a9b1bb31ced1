"""Where keys, values and outputs stand in the blocks of an architecture, by the names that its modules have."""

from __future__ import annotations

import re

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from training.ml.errors import ModelError
from training.recipes.words import gettext_noop

# Llama and its kin, BERT, DistilBERT, and those that compute queries, keys and values in one product.
KEYS_AND_VALUES = (
    r".*\.(k_proj|v_proj)",
    r".*attention\.self\.(key|value)",
    r".*attention\.(k_lin|v_lin)",
    r".*\.(c_attn|query_key_value|qkv_proj|Wqkv)",
)
ATTENTION_OUTPUT = (
    r".*\.o_proj",
    r".*attention\.output\.dense",
    r".*attn\.c_proj",
    r".*attention\.out_lin",
    r".*attn\.out_proj",
    r".*(attention|self_attn)\.dense",
)
FEED_FORWARD_OUTPUT = (
    r".*\.down_proj",
    r".*(?<!attention)\.output\.dense",
    r".*mlp\.c_proj",
    r".*\.(fc2|dense_4h_to_h|lin2|fc_out|w2)",
)


def linear_names(model: nn.Module) -> list[str]:
    """Full names of the linear layers; GPT-2's Conv1D is one."""
    return [name for name, part in model.named_modules() if isinstance(part, nn.Linear | Conv1D)]


def place(model: nn.Module, patterns: tuple[str, ...], what: str) -> str:
    """The first of `patterns` that a linear layer's whole name matches. Raises ModelError("unsupported_model")."""
    names = linear_names(model)
    for pattern in patterns:
        if any(re.fullmatch(pattern, name) for name in names):
            return pattern
    known = ", ".join(sorted({name.rpartition(".")[2] for name in names}))
    raise ModelError(
        "unsupported_model",
        gettext_noop(
            "This adapter does not know where %(what)s stand in this model. Its linear layers are: %(names)s."
        ),
        gettext_noop("Choose another adapter: lora works on any linear layer."),
        what=what,
        names=known,
    )


def block_names(model: PreTrainedModel) -> list[str]:
    """Full names of the model's layers in order, "model.layers.0" and so on. Raises ModelError("unsupported_model")."""
    count = model.config.get_text_config().num_hidden_layers
    for name, part in model.named_modules():
        if isinstance(part, nn.ModuleList) and len(part) == count:
            return [f"{name}.{number}" for number in range(count)]
    raise ModelError(
        "unsupported_model",
        gettext_noop("The layers of this model were not found."),
        gettext_noop("Choose another adapter: lora works on any linear layer."),
    )
