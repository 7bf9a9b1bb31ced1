"""Encoders (BERT and its kin) as reward models: their body with a score head, and the turns that they read."""

from __future__ import annotations

import copy

import torch
from torch import nn
from transformers import AutoModel, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from training.ml.errors import ModelError
from training.recipes.encoders import is_encoder
from training.recipes.words import gettext_noop

# An encoder has no chat template, and no EOS: [CLS], every turn as "role: text" closed by [SEP], then "assistant:" and
# the response, which [SEP] closes as well.
TURNS = (
    "{{ cls_token }}{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}{{ sep_token }}"
    "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)


class EncoderForReward(PreTrainedModel):
    """`score` is put to the mean of the last layer's states over the text; see training/ml/scoring.py."""

    base_model_prefix = "encoder"
    # Attention is the body's matter, which has chosen a kind that it can do.
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True

    def __init__(self, config: PretrainedConfig) -> None:
        asked = config._attn_implementation  # before this class, which claims to know them all, has taken one
        super().__init__(config)
        of_body = copy.deepcopy(config)
        of_body._attn_implementation = asked
        self.encoder = without_pooler(AutoModel.from_config(of_body))
        config._attn_implementation = self.encoder.config._attn_implementation
        self._supports_flash_attn = self.encoder._supports_flash_attn  # asked where a GPU has it (machine.py)
        self.supports_gradient_checkpointing = self.encoder.supports_gradient_checkpointing
        self.score = nn.Linear(config.hidden_size, config.num_labels, bias=False)
        self.post_init()

    @property
    def first_position(self) -> int:
        """RoBERTa and its kin number positions from behind that of the padding."""
        return getattr(getattr(self.encoder, "embeddings", None), "padding_idx", -1) + 1


def without_pooler(body: PreTrainedModel) -> PreTrainedModel:
    """Some end in a layer over the first token, which nothing here asks."""
    if hasattr(body, "pooler"):
        body.pooler = None
    return body


def on_encoder(body: PreTrainedModel) -> EncoderForReward:
    """The body with a head that is still to be made."""
    with torch.device("meta"):
        model = EncoderForReward(body.config)
    model.encoder = without_pooler(body)
    return model


def reads_at_once(config: PretrainedConfig) -> bool:
    """Whether a checkpoint of this configuration is an encoder that a reward model can be trained on."""
    return is_encoder(config.model_type, config.architectures or [])


def is_encoder_reward(config: PretrainedConfig) -> bool:
    """Whether it is a whole reward model of ours on an encoder."""
    return EncoderForReward.__name__ in (config.architectures or [])


def with_turns(tokenizer: PreTrainedTokenizerBase, base: str) -> PreTrainedTokenizerBase:
    """The tokenizer with the turns above, in which [SEP] ends a response. Raises ModelError("no_separator")."""
    if tokenizer.cls_token is None or tokenizer.sep_token is None:
        raise ModelError(
            "no_separator",
            gettext_noop("The tokenizer of the encoder %(base)s lacks the tokens [CLS] and [SEP] or their like."),
            gettext_noop("Choose another encoder, or set cls_token and sep_token in its tokenizer_config.json."),
            base=base,
        )
    tokenizer.chat_template = TURNS
    tokenizer.eos_token = tokenizer.sep_token
    return tokenizer
