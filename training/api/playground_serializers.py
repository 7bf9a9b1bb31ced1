"""What goes in and out of the API of the playground; places on the screen, never a model, as long as it is blind."""

from typing import Any

from rest_framework import serializers

from annotate.api.asked import Asked
from training.api.serializers import PriorityField
from training.models import LARGEST_SEED, DeviceWish, Playground, Priority
from training.recipes.mailbox import LONGEST
from training.workflow import playground
from training.workflow.playground_chat import EACH
from training.workflow.playground_turns import Answer, Scored, Turn, conversation_of
from training.workflow.runs import hint_of, reason_of
from training.workflow.waiting import waits_of


class StartPlaygroundSerializer(Asked):
    models = serializers.ListField(
        child=serializers.IntegerField(), default=list, max_length=2, help_text="ids of one policy or two"
    )
    reward_model = serializers.IntegerField(default=None, allow_null=True, help_text="id of a reward model")
    blind = serializers.BooleanField(default=False)
    config = serializers.DictField(default=dict, help_text='{"idle_minutes"}')
    anyway = serializers.BooleanField(default=False, help_text="also where this machine has too little memory")
    priority = PriorityField(default=Priority.NORMAL, help_text="high, normal (the default) or low")
    device = serializers.ChoiceField(DeviceWish.values, default=DeviceWish.ANY)


class MessageSerializer(Asked):
    """`again` is the number of the last message, which is then answered in place of itself."""

    text = serializers.CharField(default="", allow_blank=True, trim_whitespace=False, max_length=LONGEST)
    system = serializers.CharField(default=None, allow_null=True, allow_blank=True, max_length=LONGEST)
    settings = serializers.DictField(default=dict, help_text='{"temperature", "top_p", "max_new_tokens"}')
    seed = serializers.IntegerField(default=None, allow_null=True, min_value=0, max_value=LARGEST_SEED)
    goes_on_from = serializers.CharField(default=EACH, help_text="each, left or right")
    begins = serializers.BooleanField(default=False)
    again = serializers.IntegerField(default=None, allow_null=True)


class ScoreTextSerializer(Asked):
    """A prompt and a response, or `message` and `side`: what a model has answered."""

    prompt = serializers.CharField(default="", allow_blank=True, trim_whitespace=False, max_length=LONGEST)
    response = serializers.CharField(default="", allow_blank=True, trim_whitespace=False, max_length=LONGEST)
    system = serializers.CharField(default="", allow_blank=True, max_length=LONGEST)
    message = serializers.IntegerField(default=None, allow_null=True)
    side = serializers.CharField(default="", allow_blank=True)


class RuleSerializer(Asked):
    takes_comparisons = serializers.BooleanField()


class PlaygroundListSerializer(serializers.ModelSerializer[Playground]):
    id = serializers.IntegerField(source="run_id")
    name = serializers.CharField(source="run.name")
    state = serializers.CharField(source="run.state")
    ready = serializers.SerializerMethodField()
    models = serializers.SerializerMethodField()
    reward_model = serializers.CharField(source="run.reward_model.name", default=None)
    created_at = serializers.DateTimeField(source="run.created_at")

    class Meta:
        model = Playground
        fields = ["id", "name", "state", "ready", "blind", "revealed_at", "models", "reward_model", "created_at"]

    def get_ready(self, session: Playground) -> bool:
        """Whether everything is loaded; what is asked before is answered then."""
        return playground.is_serving(session)

    def get_models(self, session: Playground) -> dict[str, str]:
        """{"left": name, "right": name}; empty as long as they are hidden."""
        return playground.names_of(session)


class PlaygroundSerializer(PlaygroundListSerializer):
    waits_for = serializers.SerializerMethodField()
    reason = serializers.SerializerMethodField()
    hint = serializers.SerializerMethodField()
    messages = serializers.SerializerMethodField()
    scores = serializers.SerializerMethodField()
    unreadable = serializers.SerializerMethodField()

    class Meta(PlaygroundListSerializer.Meta):
        fields = [
            *PlaygroundListSerializer.Meta.fields, "waits_for", "reason", "hint", "messages", "scores", "unreadable",
        ]  # fmt: skip

    def to_representation(self, session: Playground) -> dict[str, Any]:
        self.conversation = conversation_of(session)
        return super().to_representation(session)

    def get_waits_for(self, session: Playground) -> str:
        return waits_of([session.run]).get(session.run_id, "")

    def get_reason(self, session: Playground) -> str:
        return reason_of(session.run)

    def get_hint(self, session: Playground) -> str:
        return hint_of(session.run)

    def get_messages(self, session: Playground) -> list[dict[str, Any]]:
        return [message_as_json(turn) for turn in self.conversation.turns]

    def get_scores(self, session: Playground) -> list[dict[str, Any]]:
        return [score_as_json(scored) for scored in self.conversation.scores]

    def get_unreadable(self, session: Playground) -> list[int]:
        """Numbers of requests that no process of ours has written so."""
        return self.conversation.unreadable


def message_as_json(turn: Turn) -> dict[str, Any]:
    return {
        "number": turn.number,
        "text": turn.text,
        "system": turn.system,
        "settings": turn.settings,
        "seed": turn.seed,
        "done": turn.is_done,
        "answers": [_answer(answer) for answer in turn.answers],
    }


def score_as_json(scored: Scored) -> dict[str, Any]:
    """`sentences`: each with the score of the text up to its end."""
    return {
        "number": scored.number,
        "prompt": scored.messages,
        "response": scored.response,
        "done": scored.done,
        "total": scored.total,
        "tokens": scored.tokens,
        "sentences": [{"text": row.text, "score": row.score, "change": row.change} for row in scored.sentences],
        "problem": scored.problem,
        "hint": scored.hint,
    }


def _answer(answer: Answer) -> dict[str, Any]:
    names = ("side", "text", "tokens", "done", "finished", "stopped", "problem", "hint")
    return {name: getattr(answer, name) for name in names}
