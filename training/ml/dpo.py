"""Recipe "dpo": trains a policy on pairs directly, against its own frozen start (Rafailov et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from training.ml.adapters import (
    adapter_off,
    apply_adapter,
    parameter_counts,
    require_change,
    save_weights,
    trainable_hash,
)
from training.ml.artifact import write_artifact
from training.ml.device import choose_device
from training.ml.evaluate import LogRatios, evaluate_policy, headline
from training.ml.job import Job
from training.ml.load import load_policy, load_tokenizer
from training.ml.logprobs import completion_logps
from training.ml.loop import Objective, Outcome, train
from training.ml.pairs import Pair, load_pairs
from training.ml.precision import for_training
from training.ml.progress import Progress
from training.ml.reference import stored_reference
from training.ml.side_by_side import old_and_new
from training.recipes.dpo import DPOConfig


def run(job: Job) -> None:
    """Load, prepare, train, evaluate, write the artifact. Raises ModelError for every known failure."""
    config, progress = job.config, Progress(job.directory)
    device = for_training(choose_device(), config)
    source = {"cache": job.cache, "on_convert": lambda: progress.status("converting")}

    progress.status("loading")
    tokenizer = load_tokenizer(job.model, **source)
    model = load_policy(job.model, device=device, **source)
    data = load_pairs(job.data, tokenizer, model, config.max_length)
    progress.status("evaluating", what="reference")
    reference = stored_reference(job.directory, model, data.train, config.batch_size)
    torch.manual_seed(job.seed)  # draws the adapter
    model = apply_adapter(model, config, "policy")
    untrained = trainable_hash(model)

    progress.status("training", data=data.counts())
    objective = direct_preference(model, reference, config)
    end = train(model, data.train, objective, config, seed=job.seed, directory=job.directory, progress=progress)
    require_change(model, untrained)

    progress.status("evaluating")
    start = frozen_start(model, config, lambda: load_policy(job.model, device=device, **source))
    metrics = evaluate_policy(model, start, data.test, beta=config.beta, batch_size=config.batch_size)
    progress.evaluation(metrics=headline(metrics), step=end.step)
    metrics["samples"] = old_and_new(model, start, tokenizer, data.test, seed=job.seed)

    progress.status("saving")
    facts: dict[str, Any] = {
        "kind": "adapter" if config.adapter == "lora" else "full",
        "task": "policy",
        "config": asdict(config),
        "parameters": parameter_counts(model),
        "metrics": metrics,
        "data": data.facts(),
        "seconds": end.seconds,
        "device": device.name,
        "precision": device.precision,
    }
    write_artifact(job, lambda directory: save_weights(model, tokenizer, directory), facts)


def direct_preference(model: nn.Module, reference: LogRatios, config: DPOConfig) -> Objective:
    """The sigmoid DPO loss with label smoothing (cDPO), times the pair's weight; the margin logged is the reward's."""

    def objective(batch: Sequence[Pair]) -> Outcome:
        sequences = [(pair.prompt_ids, pair.chosen_ids) for pair in batch]
        sequences += [(pair.prompt_ids, pair.rejected_ids) for pair in batch]
        chosen, rejected = completion_logps(model, sequences).chunk(2)
        start = torch.tensor([reference[pair.id] for pair in batch], device=chosen.device)
        margin = config.beta * ((chosen - start[:, 0]) - (rejected - start[:, 1]))
        weights = torch.tensor([pair.weight for pair in batch], device=margin.device)
        losses = dpo_loss(margin, config.label_smoothing) * weights
        return Outcome(losses, {"accuracy": (margin > 0).float(), "margin": margin})

    return objective


def dpo_loss(margin: Tensor, label_smoothing: float) -> Tensor:
    """-(1 - e) log sigmoid(m) - e log sigmoid(-m) for margins m: Rafailov et al. 2023, eq. 7; Mitchell 2023, eq. 3."""
    return -(1 - label_smoothing) * logsigmoid(margin) - label_smoothing * logsigmoid(-margin)


def frozen_start(
    model: nn.Module, config: DPOConfig, load: Callable[[], nn.Module]
) -> Callable[[], AbstractContextManager[nn.Module]]:
    """The reference: the adapter switched off, or, where every weight was trained, the model loaded once more."""
    if config.adapter == "lora":
        return lambda: adapter_off(model)
    start = load()
    return lambda: nullcontext(start)
