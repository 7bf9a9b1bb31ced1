"""What goes in and out of the API; doors only, no rules of their own."""

import uuid

from rest_framework import serializers

from annotate.api.asked import Asked
from annotate.models import (
    Aggregation,
    Assignment,
    Comparison,
    Degree,
    DemonstrationSet,
    FeedbackSet,
    GuidelineVersion,
    Judgment,
    Project,
    Prompt,
    SkipReason,
    Snapshot,
)
from annotate.workflow.comparison_records import IMPORTED
from annotate.workflow.comparison_records import LONGEST_NAME as LONGEST_ANNOTATOR
from annotate.workflow.demonstrations import LONGEST_NAME
from annotate.workflow.judging import side_of_choice

SIDES = ["left", "tie", "right"]


class ProjectSerializer(serializers.ModelSerializer[Project]):
    class Meta:
        model = Project
        fields = ["slug", "name", "description", "overlap", "lease_minutes", "degrees", "created_at"]


class PromptSerializer(serializers.ModelSerializer[Prompt]):
    class Meta:
        model = Prompt
        fields = ["id", "key", "messages", "tags", "language", "metadata", "created_at"]


class GuidelineVersionSerializer(serializers.ModelSerializer[GuidelineVersion]):
    class Meta:
        model = GuidelineVersion
        fields = ["number", "summary", "body", "published_at"]


class CardSerializer(serializers.ModelSerializer[Assignment]):
    """An open card: blind, in the order drawn for this assignment. `degrees`: those that an answer naming a side
    chooses from; with an empty list it has none."""

    prompt = serializers.JSONField(source="comparison.prompt.messages")
    left = serializers.SerializerMethodField()
    right = serializers.SerializerMethodField()
    degrees = serializers.ListField(source="asked", child=serializers.IntegerField())
    guideline_version = serializers.IntegerField(source="guideline_version.number")

    class Meta:
        model = Assignment
        fields = ["id", "prompt", "left", "right", "degrees", "guideline_version", "expires_at"]

    def get_left(self, card: Assignment) -> str:
        return (card.comparison.response_b if card.flipped else card.comparison.response_a).text

    def get_right(self, card: Assignment) -> str:
        return (card.comparison.response_a if card.flipped else card.comparison.response_b).text


class AnswerSerializer(Asked):
    """A judgment in the screen's terms."""

    side = serializers.ChoiceField(SIDES)
    degree = serializers.ChoiceField(Degree.choices, default=None, allow_null=True)
    client_key = serializers.UUIDField(default=uuid.uuid4)
    note = serializers.CharField(default="", allow_blank=True, max_length=5000)
    seconds = serializers.FloatField(default=None, allow_null=True, min_value=0)


class SkipSerializer(Asked):
    reason = serializers.ChoiceField(SkipReason.choices)
    note = serializers.CharField(default="", allow_blank=True, max_length=5000)


class UndoSerializer(Asked):
    """Which answer is meant: the id of its card, and of a judgment the revision it was stored as."""

    card = serializers.IntegerField(default=None, allow_null=True, min_value=1)
    revision = serializers.IntegerField(default=None, allow_null=True, min_value=0)


class JudgmentSerializer(serializers.ModelSerializer[Judgment]):
    annotator = serializers.CharField(source="annotator.shown_name")
    guideline_version = serializers.IntegerField(source="guideline_version.number", allow_null=True)

    class Meta:
        model = Judgment
        fields = [
            "id", "annotator", "choice", "degree", "flipped", "note", "seconds", "guideline_version",
            "revision", "is_current", "is_surplus", "client_key", "created_at",
        ]  # fmt: skip


class OwnJudgmentSerializer(serializers.ModelSerializer[Judgment]):
    """A judgment for the one who made it, in the screen's terms: which response is A would tell who wrote it, where a
    file that was imported always names the same model first (invariant 3)."""

    side = serializers.SerializerMethodField()
    guideline_version = serializers.IntegerField(source="guideline_version.number", allow_null=True)

    class Meta:
        model = Judgment
        fields = [
            "id", "side", "degree", "note", "seconds", "guideline_version", "revision", "is_current", "is_surplus",
            "client_key", "created_at",
        ]  # fmt: skip

    def get_side(self, judgment: Judgment) -> str:
        return side_of_choice(judgment.choice, flipped=bool(judgment.flipped))


class ComparisonSerializer(serializers.ModelSerializer[Comparison]):
    prompt = PromptSerializer()
    response_a = serializers.CharField(source="response_a.text")
    response_b = serializers.CharField(source="response_b.text")
    batch = serializers.CharField(source="batch.name")
    judgments = JudgmentSerializer(many=True)

    class Meta:
        model = Comparison
        fields = [
            "id", "key", "batch", "prompt", "response_a", "response_b", "overlap", "taken", "judged", "is_adjudicated",
            "judgments",
        ]  # fmt: skip


class FreezeSerializer(Asked):
    aggregation = serializers.ChoiceField(Aggregation.choices, default=Aggregation.MAJORITY)
    test_share = serializers.FloatField(default=0.2, min_value=0, max_value=0.9)
    seed = serializers.IntegerField(default=0, min_value=0)
    # Null as if it were not given: then `words_come_first` says.
    adjudicated_first = serializers.BooleanField(default=None, allow_null=True)
    annotator_share = serializers.FloatField(default=0, min_value=0, max_value=0.5)


class SnapshotSerializer(serializers.ModelSerializer[Snapshot]):
    class Meta:
        model = Snapshot
        fields = [
            "number", "content_hash", "aggregation", "query", "guideline_versions", "counts", "created_at",
        ]  # fmt: skip


class DemonstrationSetSerializer(serializers.ModelSerializer[DemonstrationSet]):
    class Meta:
        model = DemonstrationSet
        fields = ["id", "name", "content_hash", "counts", "created_at"]


class FeedbackSetSerializer(serializers.ModelSerializer[FeedbackSet]):
    class Meta:
        model = FeedbackSet
        fields = ["id", "name", "content_hash", "counts", "created_at"]


class UploadSerializer(Asked):
    """The text of a JSONL or CSV file."""

    content = serializers.CharField(trim_whitespace=False)
    format = serializers.ChoiceField(["jsonl", "csv"], default="jsonl")


class UploadComparisonsSerializer(UploadSerializer):
    """`annotator`: who preferred what lines with `chosen` and `rejected` say."""

    annotator = serializers.CharField(max_length=LONGEST_ANNOTATOR, default=IMPORTED)


class UploadSetSerializer(UploadSerializer):
    """A new set of demonstrations or of feedback."""

    name = serializers.CharField(max_length=LONGEST_NAME)
    test_share = serializers.FloatField(default=0.2, min_value=0, max_value=0.9)
