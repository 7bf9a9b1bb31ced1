"""Who plays which part in PPO: policy, reference, reward and value model, on one backbone where they fit together."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel, PeftType
from peft.functional import set_peft_model_state_dict
from peft.utils import ModulesToSaveWrapper
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from training.ml.adapter_ensemble import member_files
from training.ml.adapter_switch import AdapterSwitch
from training.ml.job import Job, ModelSpec
from training.ml.low_rank import add_as_computed
from training.ml.one_base import APART
from training.ml.origin import method_of
from training.ml.quantised import is_quantised
from training.ml.reference import Start
from training.ml.rewarding import Rewarding, RewardModel
from training.ml.rollout import Rollout
from training.ml.scoring import inner as inside
from training.ml.scoring import members_of
from training.ml.value import ADAPTER, ValueModel, fresh_adapter, head_of, new_head
from training.recipes.words import gettext_noop

POLICY, REWARD = "default", "reward"  # names of adapters; PEFT calls a model's first one "default"
PREFIX = "base_model.model."  # before the names of weights in an adapter's file
SCORE = PREFIX + "score.weight"


@dataclass(frozen=True)
class Actors:
    """`trained` holds every weight that is trained; `sharing` says for the manifest who shares a backbone."""

    policy: nn.Module
    reference: Start
    rewarding: Rewarding
    value: ValueModel
    trained: nn.ModuleDict
    sharing: str

    @property
    def learners(self) -> list[nn.Module]:
        """The backbones that something is trained on, each once."""
        policy = self.policy.get_base_model() if isinstance(self.policy, PeftModel) else self.policy
        return [self.policy] if self.value.body is policy else [self.policy, self.value.body]


def shares_backbone(job: Job) -> bool:
    """Whether policy and reward model are two LoRAs on the same frozen model."""
    reward = job.reward_model
    if job.config.adapter != "lora" or reward is None or not reward.adapters:
        return False
    *earlier, last = reward.adapters
    if ModelSpec(reward.base, tuple(earlier)) != job.model or not (Path(last) / "adapter_config.json").is_file():
        return False
    if member_files(Path(last)):
        return False
    # One that has learned beside 4-bit weights would give other scores beside these.
    if PeftConfig.from_pretrained(last).peft_type != PeftType.LORA or method_of(Path(last)) == "qlora":
        return False
    # Whatever else a reward model may hold (several adapters, a deeper head) is not put together again here.
    with safe_open(Path(last) / "adapter_model.safetensors", framework="pt") as file:
        return SCORE in file.keys() and all("lora_" in name for name in file.keys() if name != SCORE)  # noqa: SIM118


def on_one_backbone(policy: PeftModel, job: Job, tokenizer: PreTrainedTokenizerBase) -> Actors:
    """The policy's layers wear three adapters: its own, the reward model's, and a copy of that, trained as value."""
    directory = Path(job.reward_model.adapters[-1])
    inner = policy.get_base_model()
    switch = AdapterSwitch(inner, POLICY)
    weights = load_file(directory / "adapter_model.safetensors")
    saved = {name.removeprefix(PREFIX): weight for name, weight in weights.items()}
    scores = saved.pop(SCORE.removeprefix(PREFIX))
    for name, trained in ((REWARD, False), (ADAPTER, True)):
        switch.add(name, _without_head(PeftConfig.from_pretrained(directory)), trained=trained)
        set_peft_model_state_dict(inner, saved, adapter_name=name)
    add_as_computed(inner)
    switch.keep_gradients()
    view = _classifier(inner, scores)
    rewarder = RewardModel(view, tokenizer, job.config, job.config.batch_size)
    head = head_of(view.score)
    return Actors(
        policy=policy,
        reference=lambda: _kept(switch, policy),
        rewarding=_Dressed(rewarder, switch),
        value=ValueModel(inner, head, switch),
        trained=nn.ModuleDict({"policy": policy, "head": head}),
        sharing=gettext_noop("policy, reference, reward and value model on one backbone"),
    )


def on_two_backbones(
    policy: nn.Module, reference: Start, rewarder: RewardModel, policy_tokenizer: PreTrainedTokenizerBase
) -> Actors | None:
    """The value model on the reward model's backbone, beside the reward: a new adapter (or, where the reward is a LoRA
    that is not merged, a copy of that), and the reward's head to start from. None where the reward model does not read
    the policy's tokens, or looks at what comes after them."""
    model, beside = inside(rewarder.model), isinstance(rewarder.model, PeftModel)
    score = _score_of(model)
    if score is None or (beside and not _is_plain_lora(rewarder.model)):
        return None
    same_words = rewarder.tokenizer.get_vocab() == policy_tokenizer.get_vocab()
    if not same_words or model.config.model_type != policy.config.model_type:
        return None
    switch = AdapterSwitch(model.base_model, POLICY if beside else None)
    switch.trained = []  # of the reward model nothing is
    if beside:
        settings = _without_head(rewarder.model.peft_config[POLICY])
        before = f"{model.base_model_prefix}."  # the switch stands in the body, where the layers' names have none
        settings.target_modules = {name.removeprefix(before) for name in settings.target_modules}
        switch.add(ADAPTER, settings, trained=True)
        switch.copy(POLICY, ADAPTER)
    else:
        switch.add(ADAPTER, fresh_adapter(), trained=True)
    add_as_computed(model.base_model)
    head = head_of(score)
    return Actors(
        policy=policy,
        reference=reference,
        rewarding=rewarder,
        value=ValueModel(model.base_model, head, switch),
        trained=nn.ModuleDict({"policy": policy, "value": model.base_model, "head": head}),
        sharing=gettext_noop("policy and reference on one backbone, reward and value model on another"),
    )


def _without_head(settings: PeftConfig) -> PeftConfig:
    """Of an adapter alone: heads are put together here."""
    settings = copy.deepcopy(settings)
    settings.modules_to_save = None
    return settings


def _is_plain_lora(model: PeftModel) -> bool:
    """One, beside weights that are not in 4 bits."""
    one = members_of(model) is None and not is_quantised(model.get_base_model())
    return one and model.active_peft_config.peft_type == PeftType.LORA


def _score_of(model: PreTrainedModel) -> nn.Linear | None:
    """The head at work: PEFT keeps one that was trained with an adapter beside the one that was there."""
    score = getattr(model, "score", None)
    if isinstance(score, ModulesToSaveWrapper):
        score = score.modules_to_save[score.active_adapter]
    return score if isinstance(score, nn.Linear) else None


def without_reward_backbone(
    policy: nn.Module, reference: Start, rewarding: Rewarding, load: Callable[[], PreTrainedModel]
) -> Actors:
    """The value model on the policy's frozen start, with a new adapter and a new head: beside a LoRA policy in its own
    layers, beside any other on a copy, which `load` brings."""
    shared = isinstance(policy, PeftModel) and policy.peft_config[POLICY].peft_type == PeftType.LORA
    inner = policy.get_base_model() if shared else load()
    if not shared:
        inner.requires_grad_(False)
    switch = AdapterSwitch(inner, POLICY if shared else None)
    switch.add(ADAPTER, fresh_adapter(), trained=True)
    add_as_computed(inner)
    head = new_head(inner)
    parts = {"policy": policy, "head": head} if shared else {"policy": policy, "value": inner, "head": head}
    return Actors(
        policy=policy,
        reference=(lambda: _kept(switch, policy)) if shared else reference,
        rewarding=rewarding,
        value=ValueModel(inner, head, switch),
        trained=nn.ModuleDict(parts),
        sharing=gettext_noop("policy, reference and value model on one backbone") if shared else APART,
    )


@dataclass(frozen=True)
class _Dressed:
    """A reward model whose adapter is put on for as long as it scores."""

    rewarder: RewardModel
    switch: AdapterSwitch

    @property
    def cut(self) -> int:
        return self.rewarder.cut

    @property
    def means(self) -> list[float]:
        return self.rewarder.means

    def __call__(self, rollouts: Sequence[Rollout]) -> list[float]:
        with self.switch.wearing(REWARD):
            return self.rewarder(rollouts)


@contextmanager
def _kept(switch: AdapterSwitch, policy: PeftModel) -> Iterator[nn.Module]:
    """The bare model: no adapter of anybody."""
    with switch.wearing(None):
        yield policy


def _classifier(model: PreTrainedModel, scores: torch.Tensor) -> PreTrainedModel:
    """The reward model as every score sees it: the body of `model` and the head it has learned."""
    config = copy.deepcopy(model.config)
    config.num_labels = scores.shape[0]
    with torch.device("meta"):
        view = AutoModelForSequenceClassification.from_config(config)
    setattr(view, view.base_model_prefix, model.base_model)
    view.score = nn.Linear(scores.shape[1], scores.shape[0], bias=False)
    view.score.weight = nn.Parameter(scores.float().to(model.device), requires_grad=False)
    return view.eval()
