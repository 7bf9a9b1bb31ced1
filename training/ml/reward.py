"""Recipe "reward": trains a model that scores responses, from pairs, by the Bradley-Terry likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from training.ml.adapters import apply_adapter, parameter_counts, require_change, save_weights, trainable_hash
from training.ml.artifact import write_artifact
from training.ml.batching import pad
from training.ml.device import choose_device
from training.ml.evaluate import evaluate_reward, headline
from training.ml.job import Job
from training.ml.load import load_reward_base, load_tokenizer
from training.ml.loop import Objective, Outcome, train
from training.ml.pairs import Pair, load_pairs
from training.ml.precision import for_training
from training.ml.progress import Progress
from training.ml.scoring import rewards


def run(job: Job) -> None:
    """Load, prepare, train, evaluate, write the artifact. Raises ModelError for every known failure."""
    config, progress = job.config, Progress(job.directory)
    device = for_training(choose_device(), config)
    source = {"cache": job.cache, "on_convert": lambda: progress.status("converting")}

    progress.status("loading")
    torch.manual_seed(job.seed)  # draws the new head
    tokenizer = load_tokenizer(job.model, **source)
    model = load_reward_base(job.model, device=device, **source)
    data = load_pairs(job.data, tokenizer, model, config.max_length)
    model = apply_adapter(model, config, "reward")
    untrained = trainable_hash(model)

    progress.status("training", data=data.counts())
    objective = bradley_terry(model, tokenizer.pad_token_id)
    end = train(model, data.train, objective, config, seed=job.seed, directory=job.directory, progress=progress)
    require_change(model, untrained)

    progress.status("evaluating")
    scores = partial(score_pairs, model, tokenizer.pad_token_id)
    metrics = evaluate_reward(scores, data.test, config.batch_size)
    progress.evaluation(metrics=headline(metrics), step=end.step)

    progress.status("saving")
    facts: dict[str, Any] = {
        "kind": "adapter" if config.adapter == "lora" else "full",
        "task": "reward",
        "config": asdict(config),
        "parameters": parameter_counts(model),
        "metrics": metrics,
        "data": data.facts(),
        "seconds": end.seconds,
        "device": device.name,
        "precision": device.precision,
    }
    write_artifact(job, lambda directory: save_weights(model, tokenizer, directory), facts)


def bradley_terry(model: nn.Module, pad_id: int) -> Objective:
    """Loss -log sigmoid(score of chosen - score of rejected) (Ouyang et al. 2022, eq. 1), times the pair's weight."""

    def objective(batch: Sequence[Pair]) -> Outcome:
        chosen, rejected = score_pairs(model, pad_id, batch)
        margin = chosen - rejected
        weights = torch.tensor([pair.weight for pair in batch], device=margin.device)
        return Outcome(-logsigmoid(margin) * weights, {"accuracy": (margin > 0).float(), "margin": margin})

    return objective


def score_pairs(model: nn.Module, pad_id: int, batch: Sequence[Pair]) -> tuple[Tensor, Tensor]:
    """Scores of the chosen and of the rejected responses, each [pairs], in one forward pass."""
    sequences = [pair.prompt_ids + pair.chosen_ids for pair in batch]
    sequences += [pair.prompt_ids + pair.rejected_ids for pair in batch]
    chosen, rejected = rewards(model, pad(sequences, pad_id).to(next(model.parameters()).device)).chunk(2)
    return chosen, rejected
