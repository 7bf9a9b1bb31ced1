"""Estimates for what a person is about to start: the model's config.json, the data, the machine, earlier runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from annotate.models import DemonstrationSet, FeedbackSet, Snapshot
from training.models import Artifact
from training.recipes import RecipeError, load
from training.recipes.estimate import (
    Advice,
    Data,
    Estimate,
    Machine,
    Question,
    Rewarder,
    Speed,
    estimate,
    every_method,
    nearest_that_fits,
)
from training.workflow import configs, device
from training.workflow.estimated_times import data_of, earlier_runs, is_grouped, kept_from, speed_for
from training.workflow.refusals import refused_in_words, require_rewarded
from training.workflow.rewarders import rewarder_of, rewarder_to_be


@dataclass(frozen=True)
class Answer:
    """The chosen method, every method, and what comes nearest and fits where the chosen one does not."""

    question: Question
    chosen: Estimate
    methods: list[Estimate]
    advice: Advice | None


def answer(question: Question, settings: dict[str, Any], *, tabled: bool = False) -> Answer:
    """Raises BadConfig for a setting that the recipe or the model refuses. With `tabled` a chosen method that has no
    place in the model is told in the table, beside those that have one."""
    with refused_in_words(question.recipe):
        config = load(question.recipe, settings)
        methods = every_method(question, config)
        try:
            chosen = estimate(question, config)
        except RecipeError as error:
            others = [one for one in methods if one.memory]
            if not tabled or not others:
                raise
            chosen = Estimate(question.recipe, config.adapter, config, refused=error, base=others[0].base)
            return Answer(question, chosen, methods, None)
    return Answer(question, chosen, methods, nearest_that_fits(question, config))


def question(
    config: dict[str, Any],
    recipe: str,
    machine: Machine,
    data: Data,
    speed: Speed,
    response: int | None = None,
    reward: Rewarder | None = None,
) -> Question:
    """Raises BadConfig for a config.json that cannot be used."""
    return Question(configs.architecture(config), recipe, machine, data, speed, response, reward)


def asked_of(
    recipe: str,
    model: Artifact,
    settings: dict[str, Any],
    *,
    snapshot: Snapshot | None = None,
    demonstrations: DemonstrationSet | None = None,
    feedback: FeedbackSet | None = None,
    reward: Artifact | Mapping[str, Any] | None = None,
    machine: Machine | None = None,
    tabled: bool = False,
) -> Answer:
    """For a run in the model's project; `reward` is its reward model, or the settings of one that will be trained on
    the same policy. Raises BadInput where the config.json is not here yet or the recipe uses no reward model, and as
    `answer` does."""
    if reward is not None:
        require_rewarded(recipe)
    machine = machine or device.machine()
    earlier = earlier_runs(model)
    kept = kept_from(earlier, settings, snapshot or feedback, machine)
    grouped = is_grouped(recipe, settings)
    asked = question(
        configs.config_of(model),
        recipe,
        machine,
        data_of(recipe, model, snapshot, demonstrations, kept, grouped, feedback),
        speed_for(recipe, settings, machine, earlier),
        reward=_rewarder(reward, model),
    )
    return answer(asked, settings, tabled=tabled)


def _rewarder(reward: Artifact | Mapping[str, Any] | None, policy: Artifact) -> Rewarder | None:
    if reward is None:
        return None
    return rewarder_of(reward, policy) if isinstance(reward, Artifact) else rewarder_to_be(reward, policy)
