"""A loaded policy that answers a conversation while somebody watches, over the one path from messages to a response."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.ml.chat import Messages, prompt_ids, require_chat_template, text_of
from training.ml.decoding import Drawing, complete, stop_ids
from training.ml.device import Device
from training.ml.errors import ModelError
from training.ml.forward import context_of
from training.ml.job import ModelSpec
from training.ml.load import load_speaker, load_tokenizer
from training.ml.samples import sample_seed
from training.recipes.playground import TalkConfig
from training.recipes.words import gettext_noop

# Called with a function that makes the answer so far: decoding text is only worth it when it is written.
Told = Callable[[Callable[[], dict[str, Any]]], None]


class Stopped(Exception):
    """Whoever asked has seen enough."""


@dataclass(frozen=True)
class Speaker:
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    stop: frozenset[int]

    def speak(self, messages: Messages, talk: TalkConfig, seed: int, side: str, told: Told) -> dict[str, Any]:
        """{"text", "tokens", "finished", "seed"}; the same seed, side and messages give the same text.

        A response may be shorter than asked for where the context is full. Raises ModelError("bad_prompt",
        "prompt_too_long"), and whatever `told` raises.
        """
        ids = prompt_ids(self.tokenizer, messages)
        drawing = Drawing(talk.temperature, talk.top_p, self._room(len(ids), talk.max_new_tokens))
        own = sample_seed(seed, "playground", side, 0)
        more = {"stop": self.stop, "pad_id": self.tokenizer.pad_token_id, "drawing": drawing}
        [spoken] = complete(
            self.model, [ids], [[own]], **more, told=lambda _row, drawn: told(lambda: self._so_far(drawn))
        )
        text = text_of(self.tokenizer, spoken.ids)
        return {"text": text, "tokens": len(spoken.ids), "finished": spoken.finished, "seed": own}

    def _so_far(self, ids: list[int]) -> dict[str, Any]:
        # Of a character in several tokens the first ones alone are no text.
        text = text_of(self.tokenizer, ids).rstrip("\N{REPLACEMENT CHARACTER}")
        return {"text": text, "tokens": len(ids), "finished": False}

    def _room(self, prompt: int, wanted: int) -> int:
        context = context_of(self.model)
        if context is None:
            return wanted
        left = context - prompt
        if left < 1:
            raise ModelError(
                "prompt_too_long",
                gettext_noop("The conversation has %(tokens)s tokens, and the model's context is %(most)s."),
                gettext_noop("Begin a new conversation, or shorten the message."),
                tokens=prompt,
                most=context,
            )
        return min(wanted, left)


def load_speaking(spec: ModelSpec, cache: Path, device: Device, on_convert: Callable[[], None]) -> Speaker:
    """Raises ModelError as `load_tokenizer` and `load_speaker` do, and "no_chat_template"."""
    tokenizer = load_tokenizer(spec, cache=cache, on_convert=on_convert)
    require_chat_template(tokenizer)
    model = load_speaker(spec, cache=cache, device=device, on_convert=on_convert)
    return Speaker(model, tokenizer, stop_ids(model, tokenizer))
