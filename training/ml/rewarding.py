"""What a response is worth: the reward model's score of its text, over the one path that every score takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from transformers import AutoConfig, PreTrainedTokenizerBase

from training.ml import cancel
from training.ml.batching import pad, sorted_batches
from training.ml.chat import Messages, encode, require_chat_template
from training.ml.device import Device
from training.ml.errors import ModelError
from training.ml.forward import context_of
from training.ml.job import Job, ModelSpec
from training.ml.load import load_reward_model, load_tokenizer, resolve
from training.ml.notices import Notices
from training.ml.progress import read_lines
from training.ml.prompts import Prompt
from training.ml.rollout import Rollout
from training.ml.scoring import member_rewards
from training.ml.unusable import Unusable, usable_prompt
from training.ml.weights_mark import folder_mark, weights_mark
from training.recipes.rollouts import RolloutConfig
from training.recipes.sample import SampleConfig
from training.recipes.words import gettext_noop

Drawn = RolloutConfig | SampleConfig  # settings of what draws the responses

CUT = gettext_noop(
    "Some responses are longer, with their prompt, than the reward model can read: they are scored without their end, "
    "which nothing holds back then. The results say how many."
)

NO_ROOM = gettext_noop(
    "too long for the reward model: %(tokens)s tokens of prompt and %(room)s of response, its context is %(most)s"
)


class Rewarding(Protocol):
    """What each response is rewarded with, before penalty and scale. Of those that were scored last a reward model has
    more beside it: `means`, the scores, where an ensemble may reward with something else; and `cut`, where it cannot
    read every response to its end: how many it could not."""

    def __call__(self, rollouts: Sequence[Rollout]) -> list[float]: ...


class RewardModel:
    """Scores the text of a response, not the policy's tokens: the reward model may have another vocabulary, and has
    learned from texts that end with EOS. One that was cut is scored as if it ended there, as it would be shown.

    In another vocabulary a response may have more tokens than the policy has drawn: what goes beyond the context is
    not read. `unread` flags each response of the last call that was truncated; `cut` counts them. `means` are the
    scores of that call as every page has them, whatever an ensemble rewards with."""

    def __init__(self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, config: Drawn, batch: int) -> None:
        require_chat_template(tokenizer)
        self.model, self.tokenizer, self.config, self.batch = model, tokenizer, config, batch
        self.context = context_of(model)
        self.unread: list[bool] = []
        self.means: list[float] = []

    @property
    def cut(self) -> int:
        return sum(self.unread)

    def __call__(self, rollouts: Sequence[Rollout]) -> list[float]:
        """Raises ModelError("nan_loss") if a score is no number."""
        members = self.member_scores([(rollout.prompt.messages, rollout.text) for rollout in rollouts])
        prompts = [rollout.prompt.id for rollout in rollouts]
        self.means = _finite(members.mean(dim=1).tolist(), prompts)
        return _finite(combined(members, self.config.ensemble, self.config.uncertainty_weight).tolist(), prompts)

    def scores_of(self, prompt: Prompt, texts: Sequence[str]) -> list[float]:
        """Of responses to one prompt, an ensemble's mean: what every page and file calls the score of a text. Raises
        ModelError("nan_loss")."""
        members = self.member_scores([(prompt.messages, text) for text in texts])
        return _finite(members.mean(dim=1).tolist(), [prompt.id] * len(texts))

    @torch.inference_mode()
    def member_scores(self, texts: Sequence[tuple[Messages, str]]) -> Tensor:
        """The score of each text by each member, [texts, members], on the CPU."""
        read = [encode(self.tokenizer, messages, text, self.context) for messages, text in texts]
        self.unread = [one.truncated for one in read]
        sequences = [one.ids for one in read]
        device = next(self.model.parameters()).device
        found: dict[int, Tensor] = {}
        for indices in sorted_batches([len(ids) for ids in sequences], self.batch):
            cancel.check()
            batch = pad([sequences[index] for index in indices], self.tokenizer.pad_token_id).to(device)
            found |= dict(zip(indices, member_rewards(self.model, batch).cpu(), strict=True))
        return torch.stack([found[index] for index in range(len(sequences))])

    def require_room(self, messages: Messages) -> None:
        """Raises Unusable for a prompt after which no whole response can be scored: before the run and not in its
        middle."""
        tokens = len(usable_prompt(self.tokenizer, messages))
        room = self.config.max_new_tokens + 1  # one that was cut gets its EOS all the same
        if self.context and tokens + room > self.context:
            raise Unusable(NO_ROOM, tokens=tokens, room=room, most=self.context)


def _finite(scores: list[float], prompts: Sequence[int | str]) -> list[float]:
    bad = [str(prompt) for prompt, score in zip(prompts, scores, strict=True) if not math.isfinite(score)]
    if bad:
        raise ModelError(
            "nan_loss",
            gettext_noop("The reward model gave no finite score to a response to %(prompts)s."),
            gettext_noop("Train the reward model again with a smaller learning rate, or choose another one."),
            prompts=", ".join(bad[:8]),
        )
    return scores


def scores_by(rewarding: Rewarding, rewards: list[float]) -> list[float]:
    """Of the responses that it gave these `rewards` last: an ensemble's mean, what every page and file calls the score
    of a text."""
    return getattr(rewarding, "means", rewards)


def cut_by(rewarding: Rewarding) -> int:
    """Of how many of the responses scored last the end was not read."""
    return getattr(rewarding, "cut", 0)


def tell_of_cuts(notices: Notices, cut: int) -> None:
    """While the run goes on."""
    if cut:
        notices.say(CUT)


def cuts_told(directory: Path, updates: int = 1) -> int:
    """Of all steps of a run, as its progress tells; `updates` steps have the same responses."""
    lines = [line for line in read_lines(directory / "progress.jsonl") if line["kind"] == "step"]
    return sum(line["metrics"].get("truncated", 0) for line in lines if (line["step"] - 1) % updates == 0)


def combined(members: Tensor, how: str, weight: float) -> Tensor:
    """One score from those of the members, [texts, members] -> [texts]: their mean, the worst, or mean - c * std
    (Coste et al. 2023, section 3, with the deviation for the variance; of the members themselves, divided by n)."""
    if how == "worst":
        return members.min(dim=1).values
    mean = members.mean(dim=1)
    return mean - weight * members.std(dim=1, unbiased=False) if how == "uncertainty" else mean


def paid(rollouts: Sequence[Rollout], scores: Sequence[float], penalty: float) -> list[float]:
    """The score less the penalty where a response was cut before it ended."""
    return [score - penalty * (not rollout.finished) for rollout, score in zip(rollouts, scores, strict=True)]


def load_rewarder(job: Job, device: Device, load: Callable[[ModelSpec], nn.Module] | None = None) -> RewardModel:
    """The job's reward model with its own tokenizer, frozen; `load` brings a model that shares its base with others."""
    tokenizer = load_tokenizer(job.reward_model, cache=job.cache)
    spec = job.reward_model
    model = load(spec) if load else load_reward_model(spec, cache=job.cache, device=device)
    return RewardModel(model.requires_grad_(False), tokenizer, job.config, job.config.batch_size)


def mark_of_rewarder(job: Job) -> str:
    """What names the weights of the job's reward model, those of its adapters too; "" where that is not known."""
    config = AutoConfig.from_pretrained(resolve(job.reward_model.base, job.cache), trust_remote_code=False)
    marks = [weights_mark(config), *(folder_mark(Path(adapter)) for adapter in job.reward_model.adapters)]
    return ":".join(marks) if all(marks) else ""


def require_reward_model(job: Job) -> None:
    """Raises ModelError("no_reward_model")."""
    if job.reward_model is None:
        raise ModelError(
            "no_reward_model",
            gettext_noop("The job names no reward model, so no response can be scored."),
            gettext_noop("Choose a reward model for the run, or train one first."),
        )
