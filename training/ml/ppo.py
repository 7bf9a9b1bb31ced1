"""Recipe "ppo": moves a policy toward what a reward model likes, near its frozen start (Ziegler et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.ml import launched
from training.ml.actors import (
    Actors,
    on_one_backbone,
    on_two_backbones,
    shares_backbone,
    without_reward_backbone,
)
from training.ml.adapters import apply_adapter, parameter_counts, require_change, save_weights, trainable_hash
from training.ml.alignment_tax import AlignmentTax
from training.ml.artifact import write_artifact
from training.ml.checkpoint import base_of
from training.ml.device import choose_device
from training.ml.evaluate import headline
from training.ml.job import Job
from training.ml.load import load_policy, load_tokenizer
from training.ml.machine import settle_drawn
from training.ml.ppo_loop import PPO
from training.ml.precision import for_training
from training.ml.progress import Progress
from training.ml.prompt_data import load_prompts
from training.ml.reference import Start, frozen_start
from training.ml.rewarding import RewardModel, cuts_told, load_rewarder, mark_of_rewarder, require_reward_model
from training.ml.rollout_evaluation import evaluate_rollouts


def run(job: Job) -> None:
    """Load, prepare, train, evaluate, write the artifact. Raises ModelError for every known failure."""
    launched.require_one_process()
    require_reward_model(job)
    config, progress = job.config, Progress(job.directory)
    device = for_training(choose_device(), config)
    source = {"cache": job.cache, "on_convert": lambda: progress.status("converting")}

    progress.status("loading")
    tokenizer = load_tokenizer(job.model, **source)
    policy = load_policy(job.model, device=device, **source)
    rewarder = None if shares_backbone(job) else load_rewarder(job, device)
    data = load_prompts(job.data, tokenizer, policy, config, refused=rewarder.require_room if rewarder else None)
    progress.left_out(data.dropped)
    tax = AlignmentTax(job, policy, tokenizer)
    torch.manual_seed(job.seed)  # draws the adapters
    policy = apply_adapter(policy, config, "policy")
    parameters, untrained = parameter_counts(policy), trainable_hash(policy)
    start = frozen_start(policy, config, lambda: load_policy(job.model, device=device, **source))
    actors = cast(job, policy, start, tokenizer, rewarder, lambda: load_policy(job.model, device=device, **source))

    machine = settle_drawn(policy, config, device, data.train, beside=actors.learners[1:])
    progress.status("training", data=data.counts(), sharing=actors.sharing, **machine)
    where = {"seed": job.seed, "directory": job.directory, "progress": progress}
    where["checkpointing"] = machine["gradient_checkpointing"]
    where["begun_on"] = {"base": base_of(policy), "reward_model": mark_of_rewarder(job)}
    end = PPO(actors, tokenizer, data.train, config, **where).train()

    progress.status("evaluating")
    measured = {"batch_size": config.batch_size, "seed": job.seed}
    parts = (actors.policy, actors.reference, actors.rewarding)
    metrics = evaluate_rollouts(*parts, tokenizer, data.test, config, **measured)
    truncated = metrics.pop("truncated") + cuts_told(job.directory)
    progress.evaluation(metrics=headline(metrics), step=end.step)
    metrics |= tax.figures(actors.policy, actors.reference, progress)
    actors.value.switch.remove_added()
    require_change(policy, untrained)

    progress.status("saving")
    facts: dict[str, Any] = {
        "kind": config.artifact_kind,
        "task": "policy",
        "config": asdict(config),
        "parameters": parameters,
        "metrics": metrics,
        "data": data.facts(truncated),
        "reward_model": job.reward_model.as_dict(),
        "sharing": actors.sharing,
        "seconds": end.seconds,
        **machine,
    }
    write_artifact(job, lambda directory: save_weights(policy, tokenizer, directory), facts)


def cast(
    job: Job,
    policy: nn.Module,
    start: Start,
    tokenizer: PreTrainedTokenizerBase,
    rewarder: RewardModel | None,
    load: Callable[[], PreTrainedModel],
) -> Actors:
    """The fewest backbones that policy, reference, reward and value model can stand on."""
    if rewarder is None:
        return on_one_backbone(policy, job, tokenizer)
    two = on_two_backbones(policy, start, rewarder, tokenizer)
    return two or without_reward_backbone(policy, start, rewarder, load)
