"""What the recipes "rloo" and "grpo" do from job to artifact; they differ in TRL's trainer alone."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch

from training.ml import launched
from training.ml.adapters import apply_adapter, parameter_counts, require_change, save_weights, trainable_hash
from training.ml.alignment_tax import AlignmentTax
from training.ml.artifact import write_artifact
from training.ml.checkpoint import base_of
from training.ml.device import choose_device
from training.ml.evaluate import headline
from training.ml.group_training import Parts, train_groups
from training.ml.job import Job
from training.ml.load import load_policy, load_tokenizer
from training.ml.machine import settle_drawn
from training.ml.precision import for_training
from training.ml.progress import Progress
from training.ml.prompt_data import load_prompts
from training.ml.reference import frozen_start
from training.ml.rewarding import cuts_told, load_rewarder, mark_of_rewarder, require_reward_model
from training.ml.rollout_evaluation import evaluate_rollouts


def run_groups(job: Job, trainer: type, settings: type) -> None:
    """Load, prepare, train, evaluate, write the artifact. Raises ModelError for every known failure."""
    launched.require_one_process()
    require_reward_model(job)
    config, progress = job.config, Progress(job.directory)
    device = for_training(choose_device(), config)
    source = {"cache": job.cache, "on_convert": lambda: progress.status("converting")}

    progress.status("loading")
    tokenizer = load_tokenizer(job.model, **source)
    policy = load_policy(job.model, device=device, **source)
    rewarding = load_rewarder(job, device)
    data = load_prompts(job.data, tokenizer, policy, config, refused=rewarding.require_room)
    progress.left_out(data.dropped)
    tax = AlignmentTax(job, policy, tokenizer)
    torch.manual_seed(job.seed)  # draws the adapter
    policy = apply_adapter(policy, config, "policy")
    untrained = trainable_hash(policy)
    start = frozen_start(policy, config, lambda: load_policy(job.model, device=device, **source))

    machine = settle_drawn(policy, config, device, data.train)
    progress.status("training", data=data.counts(), **machine)
    where = {"seed": job.seed, "directory": job.directory, "progress": progress}
    where["checkpointing"] = machine["gradient_checkpointing"]
    where["begun_on"] = {"base": base_of(policy), "reward_model": mark_of_rewarder(job)}
    parts = Parts(job.recipe, policy, start, rewarding, tokenizer, data.train, config, **where)
    end = train_groups(trainer, settings, parts)
    require_change(policy, untrained)

    progress.status("evaluating")
    measured = {"batch_size": config.batch_size, "seed": job.seed}
    metrics = evaluate_rollouts(policy, start, rewarding, tokenizer, data.test, config, **measured)
    truncated = metrics.pop("truncated") + cuts_told(job.directory, config.updates)
    progress.evaluation(metrics=headline(metrics), step=end.step)
    metrics |= tax.figures(policy, start, progress)

    progress.status("saving")
    facts: dict[str, Any] = {
        "kind": config.artifact_kind,
        "task": "policy",
        "config": asdict(config),
        "parameters": parameter_counts(policy),
        "metrics": metrics,
        "data": data.facts(truncated),
        "reward_model": job.reward_model.as_dict(),
        "seconds": end.seconds,
        **machine,
    }
    write_artifact(job, lambda directory: save_weights(policy, tokenizer, directory), facts)
