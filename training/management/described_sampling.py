"""A sampling run as the options of `estimate` describe it: models by a config.json, prompts by number and length."""

from dataclasses import fields
from typing import Any

from training.recipes.adapters import AdapterConfig
from training.recipes.estimate import Answering, Data, Loaded, Machine, Rewarder, Sampling, Speed
from training.recipes.fields import build
from training.recipes.one_base import NEW, OLD, REWARD, Place
from training.workflow import configs, device
from training.workflow.refusals import refused_in_words
from training.workflow.rewarders import described
from training.workflow.sampling_estimates import LOOKED_AT, sharing_of

ADAPTER = {field.name for field in fields(AdapterConfig)}
PROMPT_TOKENS = 100  # where nothing is said: a question of some 50 words, with the template around it


def described_sampling(
    given: dict[str, Any], settings: dict[str, Any], machine: Machine
) -> tuple[Sampling, dict[str, Any]]:
    """And the settings that are left. Settings of an adapter are those of the model that answers; `--set reward...`
    those of a reward model. Raises BadInput and BadConfig."""
    reward_settings = settings.pop("reward") if isinstance(settings.get("reward"), dict) else {}
    worn = {name: settings.pop(name) for name in list(settings) if name in ADAPTER}
    with refused_in_words("sample"):
        adapter = build(AdapterConfig, worn) if worn else None
    model = configs.architecture(configs.read_config(given["config"]))
    old = Answering(configs.architecture(configs.read_config(path))) if (path := given["reference_config"]) else None
    reward = described("sample", given["reward_config"], reward_settings, given["config"])
    places = _places(given, adapter, reward)
    methods = {NEW: adapter.adapter if adapter else "", REWARD: reward_settings.get("adapter", "lora")}
    loaded = Loaded(Answering(model, adapter), old, reward, sharing_of(places, methods, machine))
    length = round(given["tokens"]) or PROMPT_TOKENS
    prompts = (length,) * min(given["examples"], LOOKED_AT)
    operations = given["operations"]
    speed = Speed("given", operations * 1e12) if operations else device.speed(machine.device)
    return Sampling(loaded, prompts, machine, Data(given["examples"], length), speed), settings


def _places(given: dict[str, Any], adapter: AdapterConfig | None, reward: Rewarder | None) -> dict[str, Place]:
    """Where each model lies: two that are described by one file stand on one base."""
    base = str(given["config"].resolve())
    whole = adapter is not None and adapter.artifact_kind == "full"
    places: dict[str, Place] = {NEW: (NEW, ()) if whole else (base, (NEW,) if adapter else ())}
    if given["reference_config"]:
        places[OLD] = (str(given["reference_config"].resolve()), ())
    if reward is not None:
        beside = reward.on_policy and reward.config is not None
        places[REWARD] = (base, (REWARD,)) if beside else (REWARD, ())
    return places
