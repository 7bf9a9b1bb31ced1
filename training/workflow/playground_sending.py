"""Sends a turn of a playground to the queue: its prompt and both responses become a comparison, once."""

import hashlib
import random

from django.db import transaction
from django.utils.translation import gettext as _

from annotate.models import Comparison, Prompt, Response
from annotate.workflow import intake
from training.models import Playground, Sample
from training.recipes.mailbox import FIRST, SECOND
from training.workflow.exceptions import BadInput, NotAllowed, NotComparable
from training.workflow.playground import artifact_of, takes_comparisons
from training.workflow.playground_turns import Answer, Messages, Turn, conversation_of

# Of the prompts made here and of the comparisons' metadata; also the name of their batch.
TAG, BATCH = "playground", "Playground"


@transaction.atomic
def send_to_queue(session: Playground, number: int) -> tuple[Comparison, bool]:
    """The comparison, and whether it is new: the same two texts to the same prompt are asked about once.

    Raises NotAllowed, NotComparable or BadInput, saying why it makes no comparison.
    """
    project = session.run.project
    if not takes_comparisons(project):
        raise NotAllowed(
            _("This project takes no comparisons from the playground."),
            _("A manager can allow it on the page “Playground”, or over the API (playground/rule/)."),
        )
    turn = conversation_of(session).turn(number)
    if turn is None:
        raise BadInput(_("There is no message %(number)s.") % {"number": number}, _("Reload the page."))
    messages, answers = _compared(turn)
    prompt = intake.store_prompt(project=project, messages=messages, key=TAG, tags=[TAG])
    if known := _known(prompt, [answer.text for answer in answers]):
        return known, False
    responses = [_response(session, prompt, answer) for answer in answers]
    return _comparison(session, turn, prompt, responses), True


def _compared(turn: Turn) -> tuple[Messages, list[Answer]]:
    """What both were asked, and their answers."""
    answers = [answer for part in (FIRST, SECOND) if (answer := turn.answer_of(part))]
    if len(answers) < 2:
        raise NotComparable(_("One response alone makes no comparison."), _("Start a playground with two models."))
    if not turn.is_done:
        raise NotComparable(_("The responses are not there yet."), _("Wait until both have ended."))
    if any(answer.problem for answer in answers):
        raise NotComparable(_("A model has given no response."), _("Ask again."))
    if any(answer.stopped for answer in answers):
        raise NotComparable(_("A response was stopped before its end."), _("Ask again, and let both end."))
    messages = turn.one_prompt
    if messages is None:
        raise NotComparable(
            _("The two conversations differ before this message, so there is no prompt that both have answered."),
            _("Begin a new conversation, or let both go on from one answer, and ask again."),
        )
    if answers[0].text == answers[1].text:
        raise NotComparable(
            _("Both responses are the same: there is nothing to compare."), _("Ask again, or another question.")
        )
    return messages, answers


def _known(prompt: Prompt, texts: list[str]) -> Comparison | None:
    """From wherever it came."""
    rows = Comparison.objects.filter(prompt=prompt)
    one, two = texts
    return (
        rows.filter(response_a__text=one, response_b__text=two).first()
        or rows.filter(response_a__text=two, response_b__text=one).first()
    )


def _response(session: Playground, prompt: Prompt, answer: Answer) -> Response:
    artifact = artifact_of(session, answer.part)
    response = intake.store_response(
        prompt=prompt,
        text=answer.text,
        source=artifact.name,
        key=f"{TAG}:{artifact.pk}:{_digest(answer.text)}",
        metadata={"run": session.run_id, "seed": answer.seed},
    )
    facts = {"run": session.run, "artifact": artifact, "tokens": answer.tokens, "finished": answer.finished}
    Sample.objects.get_or_create(response=response, defaults=facts)
    return response


def _comparison(session: Playground, turn: Turn, prompt: Prompt, responses: list[Response]) -> Comparison:
    """A and B are drawn from the key, so that neither letter says who wrote it. The key is that of the texts: of two
    who send the same pair at once one makes it, and the other finds it."""
    digest = _digest("\n".join([prompt.content_hash, *sorted(response.key for response in responses)]))
    key, sides = f"{TAG}:{digest}", list(responses)
    random.Random(key).shuffle(sides)
    made = intake.compare(
        batch=intake.open_batch(project=session.run.project, name=BATCH),
        prompt=prompt,
        response_a=sides[0],
        response_b=sides[1],
        key=key,
        metadata={"tags": [TAG], "run": session.run_id, "message": turn.number, "settings": turn.settings},
    )
    if made is None:
        raise NotComparable(_("Both responses are the same: there is nothing to compare."), _("Ask again."))
    return made


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
