"""What goes in and out of the API of sampling; doors only."""

from typing import Any

from rest_framework import serializers

from annotate.api.asked import Asked
from annotate.workflow.demonstrations import LONGEST_NAME
from training.api.serializers import PriorityField
from training.models import LARGEST_SEED, DeviceWish, Priority
from training.workflow.ranked_samples import Ranked, as_json


class StartSamplingSerializer(Asked):
    """`config`: what differs from the defaults, e.g. {"samples_per_prompt": 8, "pairs": "closest"}."""

    model = serializers.IntegerField(help_text="id of the policy that answers")
    reference = serializers.IntegerField(default=None, allow_null=True, help_text="id of a policy to compare with")
    reward_model = serializers.IntegerField(default=None, allow_null=True, help_text="id of what scores the responses")
    prompts = serializers.IntegerField(
        default=None, allow_null=True, min_value=1, max_value=100_000, help_text="how many; all if not given"
    )
    batch = serializers.CharField(default="", allow_blank=True, max_length=120)
    config = serializers.DictField(default=dict)
    seed = serializers.IntegerField(default=0, min_value=0, max_value=LARGEST_SEED)
    name = serializers.CharField(default="", allow_blank=True, max_length=120)
    priority = PriorityField(default=Priority.NORMAL)
    device = serializers.ChoiceField(DeviceWish.values, default=DeviceWish.ANY)


class RankedSerializer(serializers.Serializer[Ranked]):
    """As a line of the JSONL file."""

    id = serializers.CharField()
    prompt = serializers.ListField(child=serializers.DictField())
    responses = serializers.ListField(child=serializers.CharField())
    scores = serializers.ListField(child=serializers.FloatField())
    finished = serializers.ListField(child=serializers.BooleanField())

    def to_representation(self, instance: Ranked) -> dict[str, Any]:
        return as_json(instance)


class BestSerializer(Asked):
    name = serializers.CharField(default="", allow_blank=True, max_length=LONGEST_NAME)
