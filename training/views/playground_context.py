"""What the page of a playground shows: its state, the turns and what may be done with them, scores with a curve."""

from dataclasses import dataclass
from typing import Any

from training.forms import ScoreForm, TalkForm
from training.models import Playground
from training.workflow import playground
from training.workflow.playground_turns import Conversation, Scored, Turn
from training.workflow.waiting import waits_of

SHOWN_SCORES = 10
# Of the small picture of a score, in its own units.
WIDTH, HEIGHT, MARGIN, SCALE = 320, 96, 10, 62


@dataclass(frozen=True)
class Point:
    x: float
    y: float
    score: float
    number: int


@dataclass(frozen=True)
class Picture:
    """`zero` is the height of the score 0, None where it lies outside; `low` and `high` stand beside the curve."""

    points: list[Point]
    low: float
    high: float
    zero: float | None

    @property
    def line(self) -> str:
        return " ".join(f"{point.x:.1f},{point.y:.1f}" for point in self.points)


@dataclass(frozen=True)
class Shown:
    scored: Scored
    picture: Picture | None


def state_context(session: Playground) -> dict[str, Any]:
    now = playground.progress_now(session)
    return {"waits": waits_of([session.run]), "progress": now, "serving": now.get("stage") == playground.SERVING}


def chat_context(session: Playground, conversation: Conversation) -> dict[str, Any]:
    """The form stands at what the last message was sent with; its seed is left to chance."""
    last = conversation.last
    sides = playground.sides_of(session)
    before = {"system": last.system, **last.settings} if last else {}
    return {
        "talks": bool(sides),
        "two": len(sides) == 2,
        "names": playground.names_of(session),
        "turns": conversation.turns,
        "last": last,
        "pending": last is not None and not last.is_done and not session.run.is_over,
        "systems": changed_systems(conversation.turns),
        "unreadable": conversation.unreadable,
        "takes_comparisons": playground.takes_comparisons(session.run.project),
        "talk": TalkForm(initial=before),
    }


def changed_systems(turns: list[Turn]) -> dict[int, str]:
    """{number of a turn: its system prompt}, where it is not that of the turn before."""
    before = ["", *(turn.system for turn in turns)]
    return {turn.number: turn.system for turn, earlier in zip(turns, before, strict=False) if turn.system != earlier}


def score_context(session: Playground, conversation: Conversation) -> dict[str, Any]:
    newest = conversation.scores[:1]
    waiting = bool(newest) and not newest[0].done and not session.run.is_over
    return {
        "scores": [Shown(scored, picture_of(scored)) for scored in conversation.scores[:SHOWN_SCORES]],
        "score_waits": waiting,
        "score_form": ScoreForm(),
    }


def picture_of(scored: Scored) -> Picture | None:
    """A curve over the sentences; one point alone is none."""
    values = [sentence.score for sentence in scored.sentences]
    if len(values) < 2:
        return None
    low, high = min(values), max(values)
    spread = (high - low) or 1.0

    def height(value: float) -> float:
        return round(HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (value - low) / spread, 1)

    step = (WIDTH - SCALE - MARGIN) / (len(values) - 1)
    points = [
        Point(round(SCALE + step * place, 1), height(value), value, place + 1) for place, value in enumerate(values)
    ]
    return Picture(points, low, high, height(0.0) if low <= 0 <= high else None)
