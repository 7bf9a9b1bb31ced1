"""A loaded reward model that scores a text, and what there is of it after each sentence, by the one path of a score."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.ml.chat import Messages, encode, require_chat_template
from training.ml.device import Device
from training.ml.errors import ModelError
from training.ml.forward import context_of
from training.ml.job import ModelSpec
from training.ml.load import load_reward_model, load_tokenizer
from training.ml.scoring import score
from training.ml.sentences import sentence_ends
from training.ml.speaker import Told
from training.recipes.words import gettext_noop

AT_ONCE = 8  # beginnings of a text; each is written down before the next ones are read


@dataclass(frozen=True)
class Scorer:
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    def after_each_sentence(self, messages: Messages, response: str, told: Told) -> dict[str, Any]:
        """{"total", "tokens", "sentences": [{"end", "score"}]}: the score of the text up to the character `end`, as if
        the response ended there. The last one is the whole text, and its score the total.

        Raises ModelError("text_too_long", "nan_loss"), and whatever `told` raises.
        """
        tokens = self._require_room(messages, response)
        ends = sentence_ends(response)
        # The whole text first: it is what most people look for.
        total = self._score(messages, [response])[0]
        found: dict[int, float] = {ends[-1]: total}

        def so_far() -> dict[str, Any]:
            rows = [{"end": end, "score": found[end]} for end in ends if end in found]
            return {"total": total, "tokens": tokens, "sentences": rows}

        told(so_far)
        rest = ends[:-1]
        for start in range(0, len(rest), AT_ONCE):
            some = rest[start : start + AT_ONCE]
            found |= dict(zip(some, self._score(messages, [response[:end] for end in some]), strict=True))
            told(so_far)
        return so_far()

    def _score(self, messages: Messages, texts: list[str]) -> list[float]:
        found = score(self.model, self.tokenizer, [(messages, text) for text in texts], AT_ONCE)
        if not all(map(math.isfinite, found)):
            raise ModelError(
                "nan_loss",
                gettext_noop("The reward model gave no finite score to this text."),
                gettext_noop("Train the reward model again with a smaller learning rate, or choose another one."),
            )
        return found

    def _require_room(self, messages: Messages, response: str) -> int:
        """A text that lost its end would be given the score of another one."""
        tokens, most = len(encode(self.tokenizer, messages, response).ids), context_of(self.model)
        if most is not None and tokens > most:
            raise ModelError(
                "text_too_long",
                gettext_noop("Prompt and response have %(tokens)s tokens, and the reward model's context is %(most)s."),
                gettext_noop("Shorten one of them."),
                tokens=tokens,
                most=most,
            )
        return tokens


def load_scorer(spec: ModelSpec, cache: Path, device: Device, on_convert: Callable[[], None]) -> Scorer:
    """Raises ModelError as `load_tokenizer` and `load_reward_model` do, and "no_chat_template"."""
    tokenizer = load_tokenizer(spec, cache=cache, on_convert=on_convert)
    require_chat_template(tokenizer)
    model = load_reward_model(spec, cache=cache, device=device, on_convert=on_convert).requires_grad_(False)
    return Scorer(model, tokenizer)
