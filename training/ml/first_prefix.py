"""What keys and values before the text begin as: those of words, and not noise that the model has to overcome first.

Drawn from a normal distribution, as PEFT leaves them, they took the demo model's log-probability of two plain answers
from -75 to -460 before the first step; begun as those of words it was -70, and learned fastest of what was tried.
"""

from __future__ import annotations

import torch
from peft import PeftModel
from torch import Tensor, nn

SPREAD = 0.02  # of what begins at random: all alike they would stay alike


@torch.no_grad()
def begin_as_words(model: PeftModel) -> None:
    """Set the keys and values of a P-Tuning v2 adapter to those of words drawn from the vocabulary, at the positions
    they are put at (Li and Liang 2021, section 7.4); of an encoder, which keeps none, to small numbers."""
    weight = model.prompt_encoder[model.active_adapter].embedding.weight
    body = model.get_base_model()
    words = torch.randint(body.config.get_text_config().vocab_size, (1, len(weight)))
    found = keys_and_values(body, words.to(weight.device))
    if found is not None and found.shape == weight.shape:
        weight.copy_(found)
    else:
        weight.normal_(std=SPREAD)


def keys_and_values(body: nn.Module, words: Tensor) -> Tensor | None:
    """As PEFT lays them out: [words, layers * 2 * heads * head width]; None where the model keeps no keys."""
    cache = getattr(body.base_model(input_ids=words, use_cache=True), "past_key_values", None)
    layers = getattr(cache, "layers", None)
    if not layers or any(getattr(layer, "keys", None) is None for layer in layers):
        return None
    kept = [part[0] for layer in layers for part in (layer.keys, layer.values)]  # each [heads, words, head width]
    if len({part.shape for part in kept}) > 1:
        return None
    return torch.stack(kept).permute(2, 0, 1, 3).reshape(words.shape[1], -1).float()
