"""What goes in and out of the API of the right wing; doors only."""

from typing import Any

from rest_framework import serializers

from annotate.api.asked import Asked
from training.models import LARGEST_SEED, Artifact, Bench, DeviceWish, Priority, ProbeSet, Round, Run
from training.workflow import naming
from training.workflow.bench_table import cells_of, rows_of, told_of
from training.workflow.benches import BENCHED, state_of
from training.workflow.disk_use import FREEABLE
from training.workflow.probes import LONGEST_NAME
from training.workflow.rounds import FRESH_PROMPTS
from training.workflow.run_result import result_with_figures
from training.workflow.runs import hint_of, reason_of
from training.workflow.starting import POLICIES, TRAINED
from training.workflow.waiting import waits_of


class PriorityField(serializers.ChoiceField):
    """By its name: the number is only the database's."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__([name.lower() for name in Priority.names], **kwargs)

    def to_internal_value(self, data: Any) -> Priority:
        return Priority[super().to_internal_value(data).upper()]

    def to_representation(self, value: int) -> str:
        return Priority(value).name.lower()


class RunListSerializer(serializers.ListSerializer[Run]):
    """Asks once for what all runs of a page wait."""

    def to_representation(self, data: Any) -> list[Any]:
        rows = list(data)
        if self.child.waits is None:
            self.child.waits = waits_of(rows)
        return super().to_representation(rows)


class RunSerializer(serializers.ModelSerializer[Run]):
    snapshot = serializers.IntegerField(source="snapshot.number", default=None)
    model = serializers.CharField(source="model.name", default=None)
    artifact = serializers.IntegerField(source="artifact.id", default=None)
    reward_model = serializers.CharField(source="reward_model.name", default=None)
    demonstrations = serializers.CharField(source="demonstrations.name", default=None)
    feedback = serializers.CharField(source="feedback.name", default=None)
    round = serializers.IntegerField(source="round.number", default=None)
    waits: dict[int, str] | None = None
    priority = PriorityField(read_only=True)
    waits_for = serializers.SerializerMethodField()
    result = serializers.SerializerMethodField()
    code = serializers.SerializerMethodField()
    reason = serializers.SerializerMethodField()
    hint = serializers.SerializerMethodField()

    class Meta:
        model = Run
        list_serializer_class = RunListSerializer
        fields = [
            "id", "recipe", "name", "state", "config", "seed", "snapshot", "model", "reward_model", "demonstrations",
            "feedback", "artifact", "round", "stage", "priority", "device", "pinned", "waits_for",
            "attempt", "worker", "progress", "result", "code", "reason", "hint",
            "created_at", "started_at", "ended_at",
        ]  # fmt: skip

    def get_waits_for(self, run: Run) -> str:
        """Empty once it has begun."""
        return (waits_of([run]) if self.waits is None else self.waits).get(run.pk, "")

    def get_result(self, run: Run) -> dict[str, Any]:
        """Of a run that has made a model also `metrics` and `artifact` (id, name, deleted)."""
        return result_with_figures(run)

    def get_code(self, run: Run) -> str:
        """Stable, for programs; "" where nothing failed or the cause has no code."""
        return run.failure.get("code", "")

    def get_reason(self, run: Run) -> str:
        return reason_of(run)

    def get_hint(self, run: Run) -> str:
        return hint_of(run)


class ArtifactSerializer(serializers.ModelSerializer[Artifact]):
    snapshot = serializers.IntegerField(source="snapshot.number", default=None)

    class Meta:
        model = Artifact
        fields = ["id", "name", "task", "location", "is_adapter", "parent", "run", "snapshot", "manifest", "created_at"]


class RoundListSerializer(serializers.ListSerializer[Round]):
    """As that of runs, for the runs of all rounds of a page."""

    def to_representation(self, data: Any) -> list[Any]:
        rows = list(data)
        self.child.waits = waits_of(run for round in rows for run in round.runs.all())
        return super().to_representation(rows)


class RoundSerializer(serializers.ModelSerializer[Round]):
    snapshot = serializers.IntegerField(source="snapshot.number")
    base_policy = serializers.CharField(source="base_policy.name")
    batch = serializers.CharField(source="batch.name", default=None)
    runs = serializers.SerializerMethodField()
    waits: dict[int, str] | None = None

    class Meta:
        model = Round
        list_serializer_class = RoundListSerializer
        fields = ["number", "snapshot", "base_policy", "batch", "score_samples", "runs", "created_at"]

    def get_runs(self, round: Round) -> list[dict[str, object]]:
        stages = sorted(round.runs.all(), key=lambda run: run.stage)
        rows = RunSerializer(stages, many=True)
        rows.child.waits = self.waits
        return rows.data


class StartRoundSerializer(Asked):
    """`configs`: what differs from the defaults, by recipe, e.g. {"dpo": {"beta": 0.2}}."""

    snapshot = serializers.IntegerField(min_value=1)
    base_policy = serializers.IntegerField(help_text="id of a model of the project")
    policy = serializers.ChoiceField(POLICIES, default="dpo")
    demonstrations = serializers.IntegerField(default=None, allow_null=True, help_text="id of a set of demonstrations")
    configs = serializers.DictField(child=serializers.DictField(), default=dict)
    prompts = serializers.IntegerField(default=FRESH_PROMPTS, min_value=1, max_value=10_000)
    score_samples = serializers.BooleanField(default=True, help_text="at its end, by the reward model that it trains")
    seed = serializers.IntegerField(default=0, min_value=0, max_value=LARGEST_SEED)


class StartRunSerializer(Asked):
    """`config`: what differs from the recipe's defaults; with `from`, what differs from that run's settings."""

    recipe = serializers.ChoiceField(TRAINED, required=False)
    model = serializers.IntegerField(
        required=False, help_text="id of the policy (for reward: or encoder) to train from"
    )
    snapshot = serializers.IntegerField(default=None, allow_null=True, min_value=1, help_text="its number")
    reward_model = serializers.IntegerField(default=None, allow_null=True, help_text="id of a reward model")
    demonstrations = serializers.IntegerField(default=None, allow_null=True, help_text="id of a set of demonstrations")
    feedback = serializers.IntegerField(default=None, allow_null=True, help_text="id of a set of feedback, for kto")
    config = serializers.DictField(default=dict)
    seed = serializers.IntegerField(
        default=None, allow_null=True, min_value=0, max_value=LARGEST_SEED, help_text="0 if none is given"
    )
    name = serializers.CharField(default="", allow_blank=True, max_length=naming.LONGEST)
    priority = PriorityField(default=None, allow_null=True, help_text="high, normal (the default) or low")
    device = serializers.ChoiceField(DeviceWish.values, default=None, allow_null=True)

    def get_fields(self) -> dict[str, serializers.Field]:
        """`from` is a word of Python's."""
        about = "id of a run whose inputs, seed and settings are taken where none are given"
        return {
            **super().get_fields(),
            "from": serializers.IntegerField(default=None, allow_null=True, help_text=about),
        }

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        lacking = [name for name in ("recipe", "model") if name not in asked and asked["from"] is None]
        if lacking:
            raise serializers.ValidationError(
                dict.fromkeys(lacking, self.fields[lacking[0]].error_messages["required"])
            )
        if asked["from"] is None and asked["seed"] is None:
            asked["seed"] = 0
        return asked


class PinSerializer(Asked):
    pinned = serializers.BooleanField()


class NameSerializer(Asked):
    name = serializers.CharField(max_length=naming.LONGEST)


class PrioritySerializer(Asked):
    priority = PriorityField()


class RegisterSerializer(Asked):
    name = serializers.CharField(max_length=120)
    location = serializers.CharField(max_length=1000)
    encoder = serializers.BooleanField(default=False, help_text="of a hub id: whether it is an encoder")
    reward = serializers.BooleanField(default=False, help_text="of a hub id: whether it is a reward model")


class ExportSerializer(Asked):
    """`config`: {"folder", "form": "merged" | "adapter", "dtype", "repository", "private"}, as far as it differs."""

    config = serializers.DictField()


class FreeSerializer(Asked):
    what = serializers.ChoiceField(FREEABLE)


class BenchSerializer(serializers.ModelSerializer[Bench]):
    """`rows`: one a method, as in the CSV; `told`: what can and cannot be told apart."""

    snapshot = serializers.IntegerField(source="snapshot.number")
    model = serializers.CharField(source="model.name")
    state = serializers.SerializerMethodField()
    rows = serializers.SerializerMethodField()
    told = serializers.SerializerMethodField()

    class Meta:
        model = Bench
        fields = ["number", "recipe", "snapshot", "model", "seed", "config", "state", "rows", "told", "created_at"]

    def get_state(self, bench: Bench) -> str:
        return state_of(bench.runs.all())

    def to_representation(self, bench: Bench) -> dict[str, Any]:
        """Its runs come with their artifacts; the table is read from them once."""
        self.cells = cells_of(bench, bench.runs.all())
        return super().to_representation(bench)

    def get_rows(self, _bench: Bench) -> list[dict[str, Any]]:
        return rows_of(self.cells)

    def get_told(self, _bench: Bench) -> list[str]:
        return told_of(self.cells)


class StartBenchSerializer(Asked):
    """`config`: what differs from the recipe's defaults for all methods, `overrides` for one, e.g.
    {"ia3": {"epochs": 2}}; without `methods` all of the recipe's."""

    recipe = serializers.ChoiceField(BENCHED, default="reward")
    snapshot = serializers.IntegerField(min_value=1, help_text="its number")
    model = serializers.IntegerField(help_text="id of the policy (for reward: or encoder) to train from")
    methods = serializers.ListField(child=serializers.CharField(), default=list)
    config = serializers.DictField(default=dict)
    overrides = serializers.DictField(child=serializers.DictField(), default=dict)
    seed = serializers.IntegerField(default=0, min_value=0, max_value=LARGEST_SEED)
    priority = PriorityField(default=Priority.NORMAL)
    device = serializers.ChoiceField(DeviceWish.values, default=DeviceWish.ANY)


class ProbeSetSerializer(serializers.ModelSerializer[ProbeSet]):
    class Meta:
        model = ProbeSet
        fields = ["id", "name", "content_hash", "size", "created_at"]


class ProbesSerializer(Asked):
    """A new set of probes: the text of a JSONL file."""

    name = serializers.CharField(max_length=LONGEST_NAME)
    content = serializers.CharField(trim_whitespace=False)


class EstimateSerializer(Asked):
    """`config`: what differs from the recipe's defaults; `memory` of the device in GB, as found on this machine if not
    given."""

    recipe = serializers.ChoiceField((*TRAINED, "sample"))
    model = serializers.IntegerField(
        help_text="id of the policy (for reward: or encoder) to train from; for sample of the one that answers"
    )
    config = serializers.DictField(default=dict)
    snapshot = serializers.IntegerField(default=None, allow_null=True, min_value=1, help_text="its number")
    demonstrations = serializers.IntegerField(default=None, allow_null=True, help_text="id of a set of demonstrations")
    feedback = serializers.IntegerField(default=None, allow_null=True, help_text="id of a set of feedback, for kto")
    reward_model = serializers.IntegerField(
        default=None,
        allow_null=True,
        help_text="id of what rewards ppo, rloo, grpo (like the policy if not given), or scores what is sampled",
    )
    reference = serializers.IntegerField(default=None, allow_null=True, help_text="for sample: id of a second policy")
    prompts = serializers.IntegerField(
        default=None,
        allow_null=True,
        min_value=1,
        max_value=100_000,
        help_text="for sample: how many; all if not given",
    )
    device = serializers.ChoiceField(("cpu", "gpu"), default="", allow_blank=True)
    memory = serializers.FloatField(default=None, allow_null=True, min_value=0.1, max_value=1e6)
