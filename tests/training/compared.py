"""Comparisons of models that people have judged: imported with the models' names, or sampled by artifacts."""

import io
import json
from typing import Any

import numpy as np

from annotate.models import Project
from annotate.workflow.comparison_import import import_comparisons


def record(number: int, models: tuple[str, str] | None, choices: list[str], **more: Any) -> dict[str, Any]:
    named = {"model_a": models[0], "model_b": models[1]} if models else {}
    annotations = [{"annotator": f"w{place}", "choice": choice} for place, choice in enumerate(choices)]
    texts = {"prompt": f"P{number}", "response_a": f"A{number}", "response_b": f"B{number}"}
    return {"id": f"c{number}", **texts, **named, "annotations": annotations, **more}


def bring(project: Project, records: list[dict[str, Any]], name: str = "judged.jsonl") -> None:
    text = "".join(json.dumps(each) + "\n" for each in records)
    import_comparisons(project=project, stream=io.BytesIO(text.encode()), name=name)


def tournament(strengths: dict[str, float], n: int, votes: int = 2, seed: int = 0) -> list[dict[str, Any]]:
    """n comparisons of two random models, Davidson's model with a fifth of ties between equals."""
    random = np.random.default_rng(seed)
    names = list(strengths)
    records = []
    for number in range(n):
        one, other = random.choice(names, 2, replace=False).tolist()
        lead = strengths[one] - strengths[other]
        weights = np.array([np.exp(lead / 2), 0.5, np.exp(-lead / 2)])
        choices = random.choice(["a", "tie", "b"], votes, p=weights / weights.sum()).tolist()
        records.append(record(number, (one, other), choices, tags=["hard"] if number % 2 else []))
    return records
