"""What goes in and out of the API of the right wing; doors only."""

from rest_framework import serializers

from training.models import Artifact, Round, Run, RunEvent


class RunEventSerializer(serializers.ModelSerializer[RunEvent]):
    class Meta:
        model = RunEvent
        fields = ["state", "detail", "at"]


class RunSerializer(serializers.ModelSerializer[Run]):
    snapshot = serializers.IntegerField(source="snapshot.number", default=None)
    model = serializers.CharField(source="model.name", default=None)
    artifact = serializers.IntegerField(source="artifact.id", default=None)
    round = serializers.IntegerField(source="round.number", default=None)

    class Meta:
        model = Run
        fields = [
            "id", "recipe", "name", "state", "config", "seed", "snapshot", "model", "artifact", "round", "stage",
            "attempt", "worker", "progress", "result", "reason", "hint", "created_at", "started_at", "ended_at",
        ]  # fmt: skip


class ArtifactSerializer(serializers.ModelSerializer[Artifact]):
    snapshot = serializers.IntegerField(source="snapshot.number", default=None)

    class Meta:
        model = Artifact
        fields = ["id", "name", "task", "location", "is_adapter", "parent", "run", "snapshot", "manifest", "created_at"]


class RoundSerializer(serializers.ModelSerializer[Round]):
    snapshot = serializers.IntegerField(source="snapshot.number")
    base_policy = serializers.CharField(source="base_policy.name")
    batch = serializers.CharField(source="batch.name", default=None)
    runs = serializers.SerializerMethodField()

    class Meta:
        model = Round
        fields = ["number", "snapshot", "base_policy", "batch", "runs", "created_at"]

    def get_runs(self, round: Round) -> list[dict[str, object]]:
        return RunSerializer(sorted(round.runs.all(), key=lambda run: run.stage), many=True).data


class StartRoundSerializer(serializers.Serializer[None]):
    """`configs`: what differs from the defaults, by recipe, e.g. {"dpo": {"beta": 0.2}}."""

    snapshot = serializers.IntegerField(min_value=1)
    base_policy = serializers.IntegerField(help_text="id of a model of the project")
    configs = serializers.DictField(child=serializers.DictField(), default=dict)
    prompts = serializers.IntegerField(default=20, min_value=1, max_value=10_000)
    seed = serializers.IntegerField(default=0, min_value=0)


class RegisterSerializer(serializers.Serializer[None]):
    name = serializers.CharField(max_length=120)
    location = serializers.CharField(max_length=1000)
