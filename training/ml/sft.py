"""Recipe "sft": trains a policy to imitate demonstrations (Ouyang et al. 2022, section 3.1, step 1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from training.ml import flash
from training.ml.adapters import apply_adapter, parameter_counts, require_change, save_weights, trainable_hash
from training.ml.alignment_tax import AlignmentTax
from training.ml.artifact import write_artifact
from training.ml.demonstrations import Demonstration, load_demonstrations
from training.ml.device import choose_device
from training.ml.evaluate import headline
from training.ml.imitation_figures import imitation_figures
from training.ml.job import Job
from training.ml.load import load_policy, load_tokenizer
from training.ml.logprobs import completion_logits
from training.ml.loop import Objective, Outcome, train
from training.ml.machine import settle
from training.ml.packing import can_be_packed, packed_logits
from training.ml.precision import for_training
from training.ml.progress import Progress
from training.ml.reference import frozen_start
from training.ml.side_by_side import old_and_new


def run(job: Job) -> None:
    """Load, prepare, train, evaluate, write the artifact. Raises ModelError for every known failure."""
    config, progress = job.config, Progress(job.directory)
    device = for_training(choose_device(), config)
    source = {"cache": job.cache, "on_convert": lambda: progress.status("converting")}

    progress.status("loading")
    tokenizer = load_tokenizer(job.model, **source)
    model = load_policy(job.model, device=device, **source)
    data = load_demonstrations(job.data, tokenizer, model, config.max_length)
    tax = AlignmentTax(job, model, tokenizer)
    torch.manual_seed(job.seed)  # draws the adapter
    model = apply_adapter(model, config, "policy")
    machine = settle(model, config, device, data.train, rows=1)
    untrained = trainable_hash(model)

    progress.status("training", data=data.counts(), **machine)
    packed = config.packing != "off" and machine["attention"] == flash.NAME and can_be_packed(model)
    objective = imitation(model, packed_logits if packed else completion_logits)
    where = {"seed": job.seed, "directory": job.directory, "progress": progress}
    end = train(model, data.train, objective, config, **where, by_item=config.by_item)
    require_change(model, untrained)

    progress.status("evaluating")
    start = frozen_start(model, config, lambda: load_policy(job.model, device=device, **source))
    metrics = imitation_figures(model, start, data.test, config.batch_size)
    progress.evaluation(metrics=headline(metrics), step=end.step)
    metrics |= tax.figures(model, start, progress)
    metrics["samples"] = old_and_new(model, start, tokenizer, data.test, seed=job.seed)

    progress.status("saving")
    facts: dict[str, Any] = {
        "kind": config.artifact_kind,
        "task": "policy",
        "config": asdict(config),
        "parameters": parameter_counts(model),
        "metrics": metrics,
        "data": data.facts(),
        "seconds": end.seconds,
        **machine,
        "packing": packed,
    }
    write_artifact(job, lambda directory: save_weights(model, tokenizer, directory), facts)


def imitation(
    model: nn.Module, logits_of: Callable[..., tuple[Tensor, Tensor, Tensor]] = completion_logits
) -> Objective:
    """The negative log-likelihood of the responses' tokens, EOS included; the prompts' are not learned. Demonstrations
    are packed where there are kernels for it; elsewhere, as on a CPU, a pack would cost more than its padding."""

    def objective(batch: Sequence[Demonstration]) -> Outcome:
        logits, targets, rows = logits_of(model, [(one.prompt_ids, one.completion_ids) for one in batch])
        nll = logits.logsumexp(dim=1) - logits.gather(1, targets[:, None])[:, 0]
        hits = (logits.argmax(dim=1) == targets).float()
        empty = torch.zeros(len(batch), device=logits.device)
        units = torch.tensor([one.units for one in batch], device=logits.device)
        return Outcome(empty.index_add(0, rows, nll), {"token_accuracy": empty.index_add(0, rows, hits) / units})

    return objective
