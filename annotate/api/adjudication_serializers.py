"""What goes in and out of the API of adjudication; doors only, no rules of their own."""

import uuid
from typing import Any

from rest_framework import serializers

from annotate.api.asked import Asked
from annotate.api.serializers import JudgmentSerializer, PromptSerializer
from annotate.models import Adjudication, BadReason, Comparison, Verdict

LARGEST_ID = 2**63 - 1


class DecisionSerializer(Asked):
    """A final word, in the comparison's own terms."""

    comparison = serializers.IntegerField(min_value=1, max_value=LARGEST_ID)
    verdict = serializers.ChoiceField(Verdict.choices)
    client_key = serializers.UUIDField(default=uuid.uuid4)
    reason = serializers.ChoiceField(BadReason.choices, default="", allow_blank=True)
    note = serializers.CharField(default="", allow_blank=True, max_length=5000)
    # The list of disputes shows the votes.
    votes_seen = serializers.BooleanField(default=True)
    after = serializers.IntegerField(default=None, allow_null=True, min_value=0, max_value=2**31 - 1)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        value = super().to_internal_value(data)
        return {**value, "verdict": Verdict(value["verdict"])}


class AdjudicationSerializer(serializers.ModelSerializer[Adjudication]):
    comparison = serializers.IntegerField(source="comparison_id")
    adjudicator = serializers.CharField(source="adjudicator.shown_name")
    guideline_version = serializers.IntegerField(source="guideline_version.number", allow_null=True)

    class Meta:
        model = Adjudication
        fields = [
            "id", "comparison", "verdict", "reason", "note", "adjudicator", "guideline_version", "votes_seen",
            "flipped", "revision", "is_current", "client_key", "created_at",
        ]  # fmt: skip


class DisputeSerializer(serializers.ModelSerializer[Comparison]):
    """A comparison with all its votes, without the models that wrote the responses."""

    prompt = PromptSerializer()
    response_a = serializers.CharField(source="response_a.text")
    response_b = serializers.CharField(source="response_b.text")
    batch = serializers.CharField(source="batch.name")
    judgments = JudgmentSerializer(many=True)
    adjudication = serializers.SerializerMethodField()

    class Meta:
        model = Comparison
        fields = [
            "id", "key", "batch", "prompt", "response_a", "response_b", "overlap", "judged", "votes_a", "votes_tie",
            "votes_b", "disagreement", "judgments", "adjudication",
        ]  # fmt: skip

    def get_adjudication(self, comparison: Comparison) -> dict[str, Any] | None:
        return AdjudicationSerializer(comparison.words[0]).data if comparison.words else None
