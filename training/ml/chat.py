"""The one path from chat messages to tokens, for training, scoring and sampling alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from training.ml.errors import ModelError
from training.recipes.storable import storable
from training.recipes.words import gettext_noop

Messages = list[dict[str, Any]]
WORD = "Plumbline"  # a response that no template contains


@dataclass(frozen=True)
class Encoded:
    """A prompt and its completion as one sequence; `ids[prompt_length:]` is the completion with its EOS."""

    ids: list[int]
    prompt_length: int
    truncated: bool = False


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Messages) -> list[int]:
    """The chat template up to where the assistant's turn begins; raises ModelError: "no_chat_template", "bad_prompt".

    Special tokens spelled out in a message are text: a prompt cannot forge a turn.
    """
    require_chat_template(tokenizer)
    try:
        return tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=False, sanitize_control_tokens=True
        )
    except TemplateError as error:
        raise ModelError(
            "bad_prompt",
            gettext_noop("The model's chat template does not take this prompt: %(error)s"),
            gettext_noop(
                "Most templates want user and assistant turns that alternate, and some take no system message."
            ),
            error=error,
        ) from error


def completion_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The text's tokens and the EOS, which `load_tokenizer` has made the end of a turn. Special tokens spelled out in
    it are text: a response cannot end its own turn."""
    ids = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    return [*ids, tokenizer.eos_token_id]


def encode(tokenizer: PreTrainedTokenizerBase, messages: Messages, text: str, max_length: int | None = None) -> Encoded:
    """Prompt and completion; a completion too long for `max_length` loses its end (and so its EOS) and is marked.

    Raises ModelError("prompt_too_long") if not even one token of the completion fits.
    """
    prompt = prompt_ids(tokenizer, messages)
    ids = prompt + completion_ids(tokenizer, text)
    if max_length is None or len(ids) <= max_length:
        return Encoded(ids, len(prompt))
    if len(prompt) >= max_length:
        raise ModelError(
            "prompt_too_long",
            gettext_noop("A prompt of %(tokens)s tokens leaves no room for a response in %(most)s tokens."),
            gettext_noop("Raise the maximum length, or take the prompt out."),
            tokens=len(prompt),
            most=max_length,
        )
    return Encoded(ids[:max_length], len(prompt), truncated=True)


def end_of_turn(tokenizer: PreTrainedTokenizerBase) -> str:
    """The special token with which the chat template ends an assistant's turn; the tokenizer's EOS where it uses none.

    The two differ in many models (Qwen2.5's base models, Gemma, Phi-3): ended by its EOS, a response would have to
    unlearn the ending that the model knows.
    """
    if not tokenizer.chat_template:
        return tokenizer.eos_token
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": WORD}]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False)
    except TemplateError:
        return tokenizer.eos_token
    behind = text.rpartition(WORD)[2].lstrip() if WORD in text else ""
    special = (token.content for token in tokenizer.added_tokens_decoder.values() if token.special)
    return max((token for token in special if behind.startswith(token)), key=len, default=tokenizer.eos_token)


def require_chat_template(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises ModelError("no_chat_template")."""
    if not tokenizer.chat_template:
        raise ModelError(
            "no_chat_template",
            gettext_noop("The tokenizer of %(model)s has no chat template, so chat messages cannot be put to it."),
            gettext_noop(
                "Choose an instruction-tuned (chat) model, or add chat_template.jinja to the model's directory."
            ),
            model=tokenizer.name_or_path,
        )


def text_of(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    """A sampled completion as text, without special tokens and surrounding white space. It can be stored as it is: what
    is scored is what is read."""
    return storable(tokenizer.decode(ids, skip_special_tokens=True)).strip()
