"""What a sampling run would take: its models, as many of them on one base as the run would load so, and its prompts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from annotate.models import Project
from training.models import Artifact, Run, RunState
from training.recipes import load
from training.recipes.estimate import (
    Advice,
    Answering,
    Data,
    Estimate,
    Loaded,
    Machine,
    Rewarder,
    Sampling,
    corrected,
    estimate_sampling,
    nearest_sampling,
)
from training.recipes.one_base import NEW, OLD, REWARD, Place, can_be_worn, stands_on, trunk_of
from training.workflow import configs, device
from training.workflow.artifacts import adapter_of, model_spec
from training.workflow.cloning import known_settings
from training.workflow.estimated_times import NOMINAL, RECENT, prompt_tokens
from training.workflow.refusals import refused_in_words
from training.workflow.rewarders import rewarder_of, rewarder_to_be
from training.workflow.sampling import choose_prompts
from training.workflow.starting import TRAINED

# Prompts whose lengths are looked at: the first that a run would take.
LOOKED_AT = 2000


@dataclass(frozen=True)
class SamplingAnswer:
    question: Sampling
    chosen: Estimate
    advice: Advice | None


def answer_sampling(asked: Sampling, settings: dict[str, Any]) -> SamplingAnswer:
    """Raises BadConfig for a setting."""
    with refused_in_words("sample"):
        config = load("sample", settings)
    return SamplingAnswer(asked, estimate_sampling(asked, config), nearest_sampling(asked, config))


def asked_of_sampling(
    project: Project,
    settings: dict[str, Any],
    model: Artifact,
    *,
    reference: Artifact | None = None,
    reward_model: Artifact | None = None,
    prompts: int | None = None,
    machine: Machine | None = None,
) -> SamplingAnswer:
    """For a run in the project on so many `prompts`, or on all. Raises BadInput where a config.json is not here yet,
    NoPrompts, and BadConfig for a setting."""
    machine = machine or device.machine()
    loaded = loaded_of(model, reference, reward_model, machine)
    asked = _asked(project, loaded, prompts, machine)
    return answer_sampling(_as_earlier(asked, model), settings)


def asked_of_round(
    base: Artifact, configs_of: Mapping[str, Mapping[str, Any]], prompts: int, score: bool, machine: Machine
) -> SamplingAnswer:
    """For the last stage of a round, by the settings of its stages: the policy that it will have made against what that
    began with. Raises as `asked_of_sampling`."""
    loaded = _loaded_to_be(base, configs_of, score, machine)
    return answer_sampling(_asked(base.project, loaded, prompts, machine), dict(configs_of["sample"]))


def loaded_of(model: Artifact, old: Artifact | None, reward: Artifact | None, machine: Machine) -> Loaded:
    """Raises BadInput and BadConfig as `rewarder_of` does."""
    named = {name: one for name, one in {NEW: model, OLD: old, REWARD: reward}.items() if one}
    places = {name: _place(one) for name, one in named.items()}
    methods = {key: method for one in named.values() for key, method in _methods(one).items()}
    return Loaded(
        _answering(model),
        _answering(old) if old else None,
        rewarder_of(reward, model) if reward else None,
        sharing_of(places, methods, machine),
    )


def sharing_of(places: Mapping[str, Place], methods: Mapping[str, str], machine: Machine) -> tuple[str, ...]:
    """Those that stand on one base, as a run decides it: a CPU computes in fp32."""

    def can_wear(adapter: str) -> bool:
        speaks = adapter not in places.get(REWARD, ("", ()))[1]
        return can_be_worn(methods.get(adapter, ""), single=machine.device == "cpu", speaks=speaks)

    trunk = trunk_of(list(places.values()), can_wear)
    return tuple(name for name, place in places.items() if stands_on(trunk, place, can_wear))


def _loaded_to_be(base: Artifact, configs_of: Mapping[str, Mapping[str, Any]], score: bool, machine: Machine) -> Loaded:
    architecture = configs.architecture_of(base)
    settled = {}
    for recipe, settings in configs_of.items():
        with refused_in_words(recipe):
            settled[recipe] = load(recipe, dict(settings))
    policy = next(recipe for recipe in settled if recipe not in ("sft", "reward", "sample"))
    start = _trained_on(_place(base), "sft", settled["sft"]) if "sft" in settled else _place(base)
    places = {NEW: _trained_on(start, policy, settled[policy]), OLD: start}
    rewarder: Rewarder | None = None
    if score:
        places[REWARD] = _trained_on(start, REWARD, settled["reward"])
        rewarder = rewarder_to_be(configs_of["reward"], base)
    methods = _methods(base) | {recipe: getattr(one, "adapter", "") for recipe, one in settled.items()}
    began = Answering(architecture, settled.get("sft")) if "sft" in settled else _answering(base)
    new = Answering(architecture, settled[policy])
    return Loaded(new, began, rewarder, sharing_of(places, methods, machine))


def _trained_on(start: Place, name: str, config: Any) -> Place:
    """Where something that is yet to be trained will lie."""
    base, adapters = start
    return (name, ()) if config.artifact_kind == "full" else (base, (*adapters, name))


def _asked(project: Project, loaded: Loaded, prompts: int | None, machine: Machine) -> Sampling:
    there = project.prompts.count()
    count = min(prompts or there, there)
    chosen = choose_prompts(project, min(count, LOOKED_AT))
    lengths = [round(prompt_tokens(prompt.messages)) for prompt in chosen]
    data = Data(count, sum(lengths) / len(lengths))
    return Sampling(loaded, tuple(lengths), machine, data, device.speed(machine.device))


def _as_earlier(asked: Sampling, model: Artifact) -> Sampling:
    """Corrected by the newest run of the model on such a device, made at one go; as long as its responses were."""
    done = model.project.runs.filter(model=model, recipe="sample", state=RunState.SUCCEEDED, attempt__lte=1)
    related = ("reference_model__run", "reward_model__run", "model__run")
    for run in done.select_related(*related).order_by("-id")[:RECENT]:
        told, took = run.result.get("metrics") or {}, run.time_taken
        pace, mean = told.get("tokens_per_second"), told.get("mean_tokens")
        if not (pace and mean and took) or (run.result.get("device") == "cpu") != (asked.machine.device == "cpu"):
            continue
        drawn = run.result.get("samples", 0) * mean / pace
        found = _corrected(asked, run, mean, drawn, took.total_seconds())
        return replace(asked, speed=found, response=mean)
    return asked


def _corrected(asked: Sampling, run: Run, mean: float, drawn: float, whole: float) -> Any:
    speed = asked.speed if asked.speed.operations_per_second else NOMINAL
    loaded = loaded_of(run.model, run.reference_model, run.reward_model, asked.machine)
    data = replace(asked.data, examples=len(run.prompt_ids))
    earlier = replace(asked, loaded=loaded, data=data, speed=speed, response=mean)
    with refused_in_words("sample"):
        config = load("sample", known_settings(run))
    return corrected(earlier, config, drawn, whole, str(run)).speed


def _answering(model: Artifact) -> Answering:
    architecture, run = configs.architecture_of(model), model.run
    if not model.is_adapter or run is None or run.recipe not in TRAINED:
        return Answering(architecture)
    with refused_in_words(run.recipe):
        return Answering(architecture, load(run.recipe, known_settings(run)))


def _place(model: Artifact) -> Place:
    spec = model_spec(model)
    return spec["base"], tuple(spec["adapters"])


def _methods(model: Artifact) -> dict[str, str]:
    """By which adapter method each adapter of the model was made, by its place."""
    found, node = {}, model
    while node.is_adapter and node.parent is not None:
        found[node.location] = adapter_of(node)
        node = node.parent
    return found
