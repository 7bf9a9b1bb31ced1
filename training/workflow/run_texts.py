"""The texts that came of a run, for programs: what a policy wrote while it was trained and before and after, or the
responses of a sampling run."""

from typing import Any

from django.db.models import QuerySet

from training.models import Artifact, Run, Sample
from training.workflow.folders import progress_of
from training.workflow.run_lines import sample_lines


def sampled(run: Run) -> QuerySet[Sample]:
    """Prompt by prompt, in an order that does not tell which of two models wrote which."""
    rows = Sample.objects.filter(run=run).select_related("response__prompt")
    return rows.order_by("response__prompt_id", "response__text")


def texts_of(run: Run) -> list[dict[str, Any]]:
    """Of a run that trains, in the order in which they were written; the held-out prompts before and after last."""
    told = [
        _text(sample["prompt"], sample["text"], step=line.get("step"), reward=sample.get("reward"))
        for line in sample_lines(progress_of(run))
        for sample in line["samples"]
    ]
    artifact = Artifact.ever.filter(run=run).first()
    pairs = (artifact.manifest.get("metrics") or {}).get("samples") if artifact else None
    return told + [_text(pair["prompt"], pair["new"], before=pair["old"]) for pair in pairs or []]


def as_json(sample: Sample) -> dict[str, Any]:
    return _text(sample.response.prompt.messages, sample.response.text, finished=sample.finished)


def _text(prompt: list[dict[str, Any]], text: str, **more: Any) -> dict[str, Any]:
    """`before`: what the start had answered to the same prompt with the same seed."""
    return {"step": None, "prompt": prompt, "text": text, "before": None, "reward": None, "finished": None, **more}
