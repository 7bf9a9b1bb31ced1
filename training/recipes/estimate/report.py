"""An estimate as plain values: what `--json` prints and the API answers."""

from __future__ import annotations

from typing import Any

from training.recipes.estimate.advice import Advice
from training.recipes.estimate.table import Estimate, Question
from training.recipes.estimate.workload import DRAWN


def as_dict(question: Question, found: Estimate) -> dict[str, Any]:
    """Bytes and seconds; `trainable_percent` is of the base and what is added to it together."""
    if found.unknown is not None:
        return {"adapter": found.adapter, "base_parameters": found.base, "not_known": found.unknown.message}
    if found.parameters is None or found.memory is None:
        return {"adapter": found.adapter, "refused": found.refused.message if found.refused else ""}
    return {
        "adapter": found.adapter,
        "base_parameters": found.parameters.base,
        "added_parameters": found.parameters.added,
        "trainable_parameters": found.parameters.trainable,
        "trainable_percent": found.parameters.percent,
        "memory_bytes": found.memory.as_dict(),
        "heap_bytes": found.memory.heap,
        "process_bytes": question.machine.process,
        "disk_bytes": found.disk,
        "seconds": found.seconds,
        "seconds_by_part": found.durations.parts if found.durations else None,
        "fits": found.fits if question.machine.memory is not None else None,
    }


def whole(question: Question, chosen: Estimate, table: list[Estimate], advice: Advice | None) -> dict[str, Any]:
    """The chosen method at the top, every method below it, and what the figures rest on."""
    work = question.work(chosen.config)
    return {
        "architecture": question.model.family,
        "known_architecture": question.model.known,
        "recipe": question.recipe,
        "device": question.machine.device,
        "device_memory_bytes": question.machine.memory,
        "devices": question.processes,
        **as_dict(question, chosen),
        "advice": None if advice is None else {"change": advice.changed, **as_dict(question, advice.found)},
        "assumed": {
            "rows": work.rows,
            "tokens_per_row": work.length,
            "response_tokens": work.response,
            "examples": question.data.examples,
            "tokens_per_example": question.data.tokens or None,
            "reward_model": None if question.recipe not in DRAWN else "given" if question.reward else "assumed",
            "speed": question.speed.source,
            "operations_per_second": None if question.speed.nominal else question.speed.operations_per_second or None,
            "bytes_per_second": None if question.speed.nominal else question.speed.bytes_per_second or None,
            "held_out": question.data.held_out,
            "probed_tokens": question.data.probed,
            "earlier_run": question.speed.told or None,
        },
        "methods": [as_dict(question, one) for one in table],
    }
