"""An estimate as plain values: what `--json` prints and the API answers."""

from __future__ import annotations

from typing import Any

from training.recipes.estimate.advice import Advice
from training.recipes.estimate.sampling import Sampling
from training.recipes.estimate.table import Estimate, Question
from training.recipes.estimate.throughput import Speed
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
        **_costs(question, found),
    }


def whole_sampling(asked: Sampling, chosen: Estimate, advice: Advice | None) -> dict[str, Any]:
    """As `whole` of a run that trains: no parameters are trained, and there are no methods to choose from."""
    return {
        "architecture": asked.model.family,
        "known_architecture": asked.model.known,
        "recipe": asked.recipe,
        "device": asked.machine.device,
        "device_memory_bytes": asked.machine.memory,
        "devices": asked.processes,
        "base_parameters": asked.model.policy,
        **_costs(asked, chosen),
        "advice": None if advice is None else {"change": advice.changed, **_costs(asked, advice.found)},
        "assumed": {
            "rows": chosen.config.batch_size * chosen.config.samples_per_prompt,
            "longest_prompt": asked.longest,
            "response_tokens": chosen.config.max_new_tokens,
            "examples": asked.data.examples,
            "tokens_per_example": asked.data.tokens or None,
            "mean_response_tokens": asked.response,
            "on_one_base": list(asked.loaded.sharing),
            **_speed(asked.speed),
        },
    }


def _costs(asked: Question | Sampling, found: Estimate) -> dict[str, Any]:
    return {
        "memory_bytes": found.memory.as_dict() if found.memory else None,
        "heap_bytes": found.memory.heap if found.memory else None,
        "process_bytes": asked.machine.process,
        "disk_bytes": found.disk,
        "seconds": found.seconds,
        "seconds_by_part": found.durations.parts if found.durations else None,
        "fits": found.fits if asked.machine.memory is not None else None,
    }


def _speed(speed: Speed) -> dict[str, Any]:
    return {
        "speed": speed.source,
        "operations_per_second": None if speed.nominal else speed.operations_per_second or None,
        "bytes_per_second": None if speed.nominal else speed.bytes_per_second or None,
        "earlier_run": speed.told or None,
    }


def whole(question: Question, chosen: Estimate, table: list[Estimate], advice: Advice | None) -> dict[str, Any]:
    """The chosen method at the top, every method below it, and what the figures rest on."""
    work = question.work(chosen.config)
    return {
        "architecture": question.model.family,
        "known_architecture": question.model.known,
        "not_counted": list(question.model.left_out),
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
            **_speed(question.speed),
            "held_out": question.data.held_out,
            "probed_tokens": question.data.probed,
        },
        "methods": [as_dict(question, one) for one in table],
    }
