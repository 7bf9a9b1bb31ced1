"""RLOO and GRPO by TRL's trainers: advantages, losses and steps are TRL's; drawing, scores and checkpoints are ours."""

from __future__ import annotations

import copy
import math
import shutil
import time
from typing import Any

import torch
from datasets import Dataset
from torch.optim.lr_scheduler import LambdaLR
from transformers import PrinterCallback, TrainerCallback

from training.ml import cancel
from training.ml.checkpoint import Position, load_checkpoint, save_checkpoint, trainable_tensors
from training.ml.dropout import switch_off_dropout
from training.ml.group_rollouts import Parts
from training.ml.loop import fingerprint, forget_moments
from training.ml.not_finite import NotFinite, Words, told
from training.ml.optimizer import adamw, rate_factor
from training.ml.progress import eta_seconds
from training.ml.repeatable import repeatable
from training.recipes.words import gettext_noop

OF_ONE = ("loss_type", "scale_rewards", "normalize_advantages")  # settings of GRPO or of RLOO alone, by TRL's names
SHOWN = 3  # responses told with a line of samples ...
SHOWINGS = 10  # ... so many times in a run
NOT_FINITE = Words(
    kept=gettext_noop(
        "The %(what)s became %(value)s in a step with responses to %(prompts)s; the weights of the last "
        "checkpoint are kept."
    ),
    lost=gettext_noop("The %(what)s became %(value)s in a step with responses to %(prompts)s."),
    hint=gettext_noop("Start again with a smaller learning rate, or look at these prompts."),
    named="prompts",
)
NAMES = {"loss": "loss", "entropy": "entropy", "grad_norm": "grad_norm", "clip_ratio/region_mean": "clip_fraction"}


class Telling(TrainerCallback):
    """After every step: its line of progress, a checkpoint where one is due, and the end if SIGTERM has come."""

    def __init__(self, trainer: Any, optimizer: torch.optim.Optimizer, start: Position) -> None:
        self.trainer, self.optimizer, self.start = trainer, optimizer, start
        self.parts: Parts = trainer.parts
        self.position, self.saved, self.tokens, self.began = start, start.step, 0, time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        parts, number = self.parts, self.start.step + state.global_step
        for what in ("loss", "grad_norm"):
            if not math.isfinite(logs[what]):
                found = NotFinite(what, logs[what], [rollout.prompt.id for rollout in self.trainer.rollouts])
                first = number == 1
                raise told(found, NOT_FINITE, parts.policy, parts.directory, nothing_learned=first, stepped=True)
        self.tell(number, logs)
        self.position = Position(self.start.fingerprint, number, round(self.start.seconds + self.seconds(), 3))
        if number % parts.config.updates:
            return  # a batch is learned from to its end: its responses are in no checkpoint
        every = parts.config.checkpoint_every
        if (every and number % every < parts.config.updates) or cancel.requested() or number == parts.steps:
            self.save()
        cancel.check()

    def tell(self, number: int, logs: dict[str, Any]) -> None:
        parts, figures = self.parts, self.trainer.figures
        divergence = self.trainer.kl_per_response()
        if divergence is not None:
            figures["kl"] = divergence
        elif "kl" in logs:
            figures["kl"] = logs["kl"] * figures["length"]  # RLOO's: a mean over all tokens that were drawn
        learned = {ours: logs[theirs] for theirs, ours in NAMES.items() if theirs in logs}
        self.tokens += sum(rollout.length for rollout in self.trainer.rollouts)
        done, left = number - self.start.step, parts.steps - self.start.step
        parts.progress.step(
            "training",
            step=number,
            steps=parts.steps,
            epoch=round(number * parts.config.epochs / parts.steps, 4),
            metrics={**figures, **learned, "learning_rate": logs["learning_rate"]},
            tokens_per_second=round(self.tokens / self.seconds(), 1),
            eta_seconds=eta_seconds(done=done, total=left, seconds=self.seconds()),
        )
        if number == 1 or number == parts.steps or number % max(parts.steps // SHOWINGS, 1) == 0:
            pairs = list(zip(self.trainer.rollouts, self.trainer.scores, strict=True))
            first = pairs[:: parts.config.generations][:SHOWN]  # one of a group
            told = [{"prompt": r.prompt.messages, "text": r.text, "reward": score} for r, score in first]
            parts.progress.samples(number, told)

    def save(self) -> None:
        save_checkpoint(self.parts.directory, self.parts.policy, self.optimizer, self.position, self.parts.begun_on)
        self.saved = self.position.step

    def seconds(self) -> float:
        return max(time.monotonic() - self.began, 1e-6)


def train_groups(kind: type, settings: type, parts: Parts) -> Position:
    """The whole run, from the last checkpoint if there is one; `kind` is OurRollouts before a trainer of TRL's,
    `settings` that trainer's. Raises as loop.train does."""
    config = parts.config
    optimizer = adamw(parts.policy, config)
    mark = fingerprint(parts.prompts, config, parts.seed)
    start = load_checkpoint(parts.directory, parts.policy, optimizer, mark, parts.begun_on)
    parts.progress.truncate_after(start.step)
    if start.step == parts.steps:
        return start
    trainer = _trainer(kind, settings, parts, optimizer, start)
    telling = Telling(trainer, optimizer, start)
    trainer.add_callback(telling)
    try:
        with repeatable(next(parts.policy.parameters()).device):
            trainer.train()
    except cancel.Cancelled:
        # In the middle of drawing: the weights are still those of the last step.
        if telling.saved != telling.position.step:
            telling.save()
        raise
    shutil.rmtree(parts.directory / "trl", ignore_errors=True)
    parts.policy.eval()
    forget_moments(optimizer)
    return telling.position


def _trainer(kind: type, settings: type, parts: Parts, optimizer: torch.optim.Optimizer, start: Position) -> Any:
    policy, config = parts.policy, parts.config
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] = config.learning_rate
    schedule = LambdaLR(optimizer, lambda k: rate_factor(min(start.step + k + 1, parts.steps), parts.steps, config))
    before = {name: weight.clone() for name, weight in trainable_tensors(policy).items()}
    generation = copy.deepcopy(policy.generation_config)

    def reward(**given: Any) -> list[float]:
        return trainer.reward(**given)

    trainer = kind(
        model=policy,
        reward_funcs=reward,
        args=_settings(settings, parts, start.step),
        train_dataset=Dataset.from_list([{"prompt": prompt.id} for prompt in parts.asked(start.step)]),
        processing_class=copy.deepcopy(parts.tokenizer),
        optimizers=(optimizer, schedule),
    )
    trainer.take(parts, start.step)
    trainer.remove_callback(PrinterCallback)
    switch_off_dropout(policy)  # TRL looks at layers alone, and attention's is a number in many families
    # Undo what TRL has made of the policy: a copy of its adapter, 16-bit adapters, its own idea of how a turn ends.
    if "ref" in getattr(policy, "peft_config", {}):
        policy.delete_adapter("ref")
    for name, weight in policy.named_parameters():
        if name in before:
            weight.data = before[name].to(weight.device)
            weight.requires_grad_(True)
    policy.generation_config = generation
    return trainer


def _settings(settings: type, parts: Parts, done: int) -> Any:
    """fp32 arithmetic as the model was loaded, no files of the trainer's own, a line for each step."""
    config = parts.config
    made = settings(
        output_dir=str(parts.directory / "trl"),
        use_cpu=next(parts.policy.parameters()).device.type == "cpu",
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        logging_steps=1,
        logging_nan_inf_filter=False,
        seed=parts.seed % 2**32,
        disable_dropout=True,
        shuffle_dataset=False,
        max_steps=parts.steps - done,
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation,
        learning_rate=config.learning_rate,
        max_grad_norm=config.max_grad_norm,
        num_generations=config.generations,
        num_iterations=config.updates,
        max_completion_length=config.max_new_tokens,
        temperature=config.temperature,
        epsilon=config.clip_range,
        epsilon_high=config.clip_range_high or None,
        beta=0.0,
        **{name: getattr(config, name) for name in OF_ONE if hasattr(config, name)},
    )
    made._n_gpu = min(made.n_gpu, 1)  # of several GPUs in sight TRL would refuse to use one
    return made
