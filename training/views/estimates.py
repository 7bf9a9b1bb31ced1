"""The table beside the forms of runs, rounds and samplings: what each would take of the models chosen there."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _

from annotate.lists import labelled
from annotate.workflow.exceptions import WorkflowError
from training.forms import DeviceForm, RecipeForm
from training.models import Artifact
from training.recipes.estimate import Machine
from training.recipes.titles import TITLES
from training.views.problems import words
from training.workflow.estimate_words import refusal, unbalanced
from training.workflow.estimates import Answer, asked_of
from training.workflow.exceptions import BadConfig
from training.workflow.sampling_estimates import SamplingAnswer
from training.workflow.seen_before import in_words, run_to_be, seen_before
from training.workflow.starting import REWARDED

ASKED = "estimate"  # the name of the button


@dataclass(frozen=True)
class Panel:
    """Of one recipe: an answer, and why there is none or none of the chosen method; and what is to be said of the data
    with these settings, and of what it holds out. `parts` are those of the memory that any method needs."""

    recipe: str
    answer: Answer | None = None
    problem: str = ""
    unbalanced: str = ""
    seen: str = ""

    @property
    def parts(self) -> list[str]:
        held = [one.memory.parts for one in self.answer.methods if one.memory] if self.answer else []
        return [name for name in (held[0] if held else ()) if any(parts[name] for parts in held)]


@dataclass(frozen=True)
class SamplingPanel:
    """Of a sampling run, which has no methods to choose from. `parts` are those of the memory that it needs."""

    answer: SamplingAnswer | None = None
    problem: str = ""
    recipe: str = "sample"

    @property
    def parts(self) -> list[str]:
        held = self.answer.chosen.memory.parts if self.answer and self.answer.chosen.memory else {}
        return [name for name, size in held.items() if size]


def is_asked(request: HttpRequest) -> bool:
    """Whether the form was sent to be estimated, and not to be started."""
    return request.method == "POST" and ASKED in request.POST


def is_to_start(request: HttpRequest) -> bool:
    return not is_asked(request)


def estimate_context(
    request: HttpRequest, model: Artifact | None, stages: Iterable[RecipeForm], **data: Any
) -> dict[str, Any]:
    """For the template: the form of the device, and a panel for each stage if they were asked for. A stage that is
    rewarded is so by the reward model that is given, or by the one that a stage beside it trains."""
    if not is_asked(request):
        return {"device": DeviceForm(), "panels": []}
    form = DeviceForm(request.POST)
    machine, stages = form.machine(), list(stages)
    trained = next((stage.config for stage in stages if stage.recipe == "reward" and stage.is_valid()), None)
    rewarded = {**data, "reward": data.pop("reward", None) or trained}
    of = {stage.recipe: rewarded if stage.recipe in REWARDED else data for stage in stages}
    tuned = next((_(TITLES["sft"]) for stage in stages[:-1] if stage.recipe == "sft"), "")
    return {"device": form, "panels": [panel(model, stage, machine, tuned, **of[stage.recipe]) for stage in stages]}


def sampling_panel(settings: RecipeForm, ask: Callable[[dict[str, Any]], SamplingAnswer]) -> SamplingPanel:
    """`ask` is given the settings."""
    if not settings.is_valid():
        return SamplingPanel(problem=_unusable(settings))
    try:
        return SamplingPanel(ask(settings.config))
    except WorkflowError as error:
        return SamplingPanel(problem=_refused(settings, error))


def panel(model: Artifact | None, stage: RecipeForm, machine: Machine, tuned: str = "", **data: Any) -> Panel:
    """`tuned`: what the stage is called that fine-tunes the model first, where there is one."""
    if model is None:
        return Panel(stage.recipe, problem=_("Choose a model."))
    if not stage.is_valid():
        return Panel(stage.recipe, problem=_unusable(stage))
    try:
        answer = asked_of(stage.recipe, model, stage.config, machine=machine, tabled=True, **data)
    except WorkflowError as error:
        return Panel(stage.recipe, problem=_refused(stage, error))
    problem = _named(stage, answer.chosen.refused.field, refusal(answer.chosen)) if answer.chosen.refused else ""
    seen = in_words(seen_before(run_to_be(stage.recipe, stage.config, model, tuned=tuned, **data)))
    return Panel(stage.recipe, answer, problem, unbalanced(stage.recipe, stage.config, data.get("feedback")), seen)


def _unusable(stage: RecipeForm) -> str:
    """Every setting that cannot be used, with the reason."""
    return " ".join(_named(stage, name, " ".join(said)) for name, said in stage.errors.items())


def _refused(stage: RecipeForm, error: WorkflowError) -> str:
    if isinstance(error, BadConfig) and error.recipe == stage.recipe:
        return f"{_named(stage, error.field, error.said)} {error.hint}".strip()
    return words(error)


def _named(stage: RecipeForm, name: str, said: str) -> str:
    """By the label that the setting has in the form."""
    return labelled(stage.fields[name].label, said) if name in stage.fields else said
