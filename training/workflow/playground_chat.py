"""Puts requests into the mailbox of a playground: a message, the last one again, a text to score; stops an answer."""

import random
from typing import Any

from django.utils.translation import gettext as _

from training.models import LARGEST_SEED, Playground
from training.recipes import RecipeError
from training.recipes.fields import build
from training.recipes.mailbox import CHAT, LONGEST, SCORE
from training.recipes.playground import TalkConfig
from training.workflow.exceptions import BadConfig, BadInput, PlaygroundBusy, PlaygroundEnded
from training.workflow.playground import mailbox_of, sides_of
from training.workflow.playground_turns import Conversation, Messages, Turn, conversation_of
from training.workflow.told import in_readers_language

# How a conversation of two models goes on: each from its own answer, or both from one of them (left, right).
EACH = "each"


def ask(
    session: Playground,
    text: str,
    *,
    system: str = "",
    settings: dict[str, Any] | None = None,
    seed: int | None = None,
    goes_on_from: str = EACH,
    begins: bool = False,
) -> int:
    """The number of the request. `begins` leaves out what was said before; without a seed one is drawn and recorded.

    Raises BadInput, BadConfig, PlaygroundEnded, or PlaygroundBusy while the message before has no answer: two that
    come at once are both taken, and neither knows of the other.
    """
    found = _open_conversation(session)
    last = None if begins else found.last
    histories = {part: _history(last, part, _kept(session, goes_on_from)) for part in sides_of(session).values()}
    return _post_chat(session, text, system, settings, seed, histories, begins=begins)


def ask_again(
    session: Playground,
    number: int,
    text: str = "",
    *,
    settings: dict[str, Any] | None = None,
    system: str | None = None,
    seed: int | None = None,
) -> int:
    """The last message in place of itself, with another text if one is given. Raises as `ask` does."""
    last = _open_conversation(session).last
    if last is None or last.number != number:
        raise BadInput(
            _("Only the last message can be asked again, and this is not the last one."), _("Reload the page.")
        )
    histories = {part: _without_system(messages[:-1]) for part, messages in last.messages.items()}
    kept = last.system if system is None else system
    return _post_chat(session, text or last.text, kept, settings, seed, histories, replaces=number)


def score(session: Playground, prompt: str, response: str, system: str = "") -> int:
    """The number of the request. Raises BadInput or PlaygroundEnded."""
    messages = [*_system(system), {"role": "user", "content": _checked(prompt, "prompt")}]
    return score_messages(session, messages, _checked(response, "response"))


def score_messages(session: Playground, messages: Messages, response: str) -> int:
    """A response to a whole conversation, as it stands."""
    _require_alive(session)
    if session.run.reward_model_id is None:
        raise BadInput(
            _("This playground has no reward model."), _("Start another one and choose a reward model as well.")
        )
    return mailbox_of(session).post({"kind": SCORE, "messages": messages, "response": response})


def score_answer(session: Playground, number: int, side: str) -> int:
    """What a model has answered, to what it was asked. Raises as `score` does."""
    turn = conversation_of(session).turn(number)
    part = sides_of(session).get(side)
    answer = turn.answer_of(part) if turn and part else None
    if turn is None or answer is None or not answer.done or answer.problem or not answer.text:
        raise BadInput(_("There is no answer here that could be scored."), _("Wait until it is there, or ask again."))
    return score_messages(session, turn.messages[answer.part], answer.text)


def stop_answer(session: Playground, number: int) -> None:
    """What has been written is the answer. Harmless if it is done."""
    mailbox = mailbox_of(session)
    if number not in mailbox.numbers():
        raise BadInput(_("There is no message %(number)s.") % {"number": number}, _("Reload the page."))
    mailbox.ask_to_stop(number)


def _post_chat(
    session: Playground,
    text: str,
    system: str,
    settings: dict[str, Any] | None,
    seed: int | None,
    histories: dict[str, Messages],
    **more: Any,
) -> int:
    said = {"role": "user", "content": _checked(text, "text")}
    before = _system(system)
    request = {
        "kind": CHAT,
        "text": text,
        "system": system,
        "settings": _checked_settings(settings or {}),
        "seed": random.SystemRandom().randint(0, LARGEST_SEED) if seed is None else seed,
        # From left to right: which model writes first would tell which it is.
        "order": list(histories),
        "sides": {part: [*before, *history, said] for part, history in histories.items()},
        **more,
    }
    return mailbox_of(session).post(request)


def _open_conversation(session: Playground) -> Conversation:
    _require_alive(session)
    if not sides_of(session):
        raise BadInput(
            _("This playground has a reward model alone, which writes no text."), _("Start another one with a policy.")
        )
    found = conversation_of(session)
    if found.last is not None and not found.last.is_done:
        raise PlaygroundBusy(
            _("The message before is still being answered."), _("Wait for the answer, or stop it first.")
        )
    return found


def _require_alive(session: Playground) -> None:
    if session.run.is_over:
        raise PlaygroundEnded(_("This playground has ended."), _("Start another one; this one can still be read."))


def _kept(session: Playground, goes_on_from: str) -> str | None:
    """The part from whose answer both go on; None for each from its own."""
    sides = sides_of(session)
    if goes_on_from == EACH or len(sides) < 2:
        return None
    if goes_on_from not in sides:
        said = _("A conversation cannot go on from “%(side)s”.") % {"side": goes_on_from}
        raise BadInput(said, _("Use one of: %(names)s.") % {"names": ", ".join([EACH, *sides])}, where="goes_on_from")
    return sides[goes_on_from]


def _history(last: Turn | None, part: str, kept: str | None) -> Messages:
    """What was said before, without the system message. A turn that went wrong, or got no word, was not said."""
    if last is None:
        return []
    source = kept or part
    before, answer = _without_system(last.messages[source]), last.answer_of(source)
    if answer is None or answer.problem or not answer.text:
        return before[:-1]
    return [*before, {"role": "assistant", "content": answer.text}]


def _without_system(messages: Messages) -> Messages:
    return [message for message in messages if message["role"] != "system"]


def _system(system: str) -> Messages:
    return [{"role": "system", "content": _checked(system, "system")}] if system.strip() else []


def _checked(text: str, where: str) -> str:
    """Raises BadInput for what no model can be given and no database stores."""
    if not text.strip():
        raise BadInput(_("There is no text."), _("Write something."), where=where)
    if len(text) > LONGEST:
        raise BadInput(
            _("The text has %(size)s characters; at most %(most)s can be taken.")
            % {"size": len(text), "most": LONGEST},
            _("Shorten it."),
            where=where,
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        said = _("The text contains half a character (a lone surrogate) at place %(at)s.") % {"at": error.start + 1}
        raise BadInput(said, _("Copy it again from where it is whole."), where=where) from error
    if "\x00" in text:
        raise BadInput(_("The text contains a NUL character."), _("Take it out."), where=where)
    return text


def _checked_settings(settings: dict[str, Any]) -> dict[str, Any]:
    try:
        talk = build(TalkConfig, settings)
    except RecipeError as error:
        said = in_readers_language(error.message, error.template, error.values)
        hint = _("Correct the setting and send it again.")
        raise BadConfig(f"{error.field}: {said}", hint, field=error.field, said=said) from error
    return {name: getattr(talk, name) for name in TalkConfig.__dataclass_fields__}
