"""Starts a single training run, and refuses one that could not end well: what it lacks, or what is not for it."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotate.lists import listed
from annotate.models import DemonstrationSet, FeedbackSet, Project, Snapshot, User
from training.models import Artifact, DeviceWish, Priority, Run, Task
from training.recipes import RECIPES, UNTRAINED, load
from training.recipes.encoders import ON_ENCODERS
from training.recipes.estimate import parameters
from training.recipes.estimate.checkpointing import require_twice
from training.recipes.titles import ADAPTERS, STAYING
from training.workflow import naming, runs
from training.workflow.artifacts import STARTS, blocking_adapter
from training.workflow.configs import architecture_of
from training.workflow.disk import enough_disk
from training.workflow.exceptions import BadConfig, BadInput, ModelRefused, TooFewLabels, WorkflowError
from training.workflow.refusals import checked_config, refused_in_words, require_rewarded

TRAINED = tuple(name for name in RECIPES if name not in UNTRAINED)
# What a round can make its new policy with.
POLICIES = tuple(name for name in TRAINED if name not in ("sft", "reward"))
# Those that write their own responses and are paid for them by a reward model.
REWARDED = tuple(name for name in ("ppo", "rloo", "grpo") if name in POLICIES)
# Those that can learn from single votes in place of pairs.
UNPAIRED = ("kto",)


@dataclass(frozen=True)
class Inputs:
    """What a run of one recipe learns from; which of them it needs depends on the recipe."""

    model: Artifact
    snapshot: Snapshot | None = None
    reward_model: Artifact | None = None
    demonstrations: DemonstrationSet | None = None
    feedback: FeedbackSet | None = None


def start_training(
    project: Project,
    recipe: str,
    snapshot: Snapshot | None,
    model: Artifact,
    config: dict[str, Any],
    *,
    reward_model: Artifact | None = None,
    demonstrations: DemonstrationSet | None = None,
    feedback: FeedbackSet | None = None,
    seed: int = 0,
    name: str = "",
    priority: Priority = Priority.NORMAL,
    device: DeviceWish = DeviceWish.ANY,
    actor: User | None = None,
) -> Run:
    """Queues a run, or makes nothing and raises TooFewLabels, TooLittleDisk, ModelRefused, BadInput or BadConfig."""
    if recipe not in TRAINED:
        raise WorkflowError(
            _("“%(recipe)s” trains nothing.") % {"recipe": recipe},
            _("Use one of: %(names)s.") % {"names": ", ".join(TRAINED)},
            where="recipe",
        )
    config = checked_config(recipe, config)
    inputs = Inputs(model, snapshot, reward_model, demonstrations, feedback)
    check_inputs(project, recipe, inputs)
    check_adapter(recipe, model, config)
    check_place(recipe, model, config)
    enough_disk(model, [(recipe, config)])
    return runs.create_run(
        project,
        recipe,
        config,
        name[: naming.LONGEST] or _named(recipe, config, inputs, seed),
        seed=seed,
        snapshot=snapshot,
        model=model,
        reward_model=reward_model,
        demonstrations=demonstrations,
        feedback=feedback,
        priority=priority,
        device=device,
        actor=actor,
    )


def check_inputs(project: Project, recipe: str, inputs: Inputs) -> None:
    """All that a recipe needs is there, is the project's own and fits; nothing is given that it would not look at."""
    given = (inputs.model, inputs.snapshot, inputs.reward_model, inputs.demonstrations, inputs.feedback)
    if any(row is not None and row.project_id != project.pk for row in given):
        said = _("Snapshot, models, demonstrations and feedback must be the project's own.")
        raise WorkflowError(said, _("Choose others."))
    _check_present(inputs)
    check_start(inputs.model, recipe)
    _check_reward_model(recipe, inputs.reward_model)
    _check_data(recipe, inputs)


def _check_present(inputs: Inputs) -> None:
    """A clone may begin with a model that its source had and that is gone since. Raises ModelRefused."""
    for where in ("model", "reward_model"):
        model = getattr(inputs, where)
        if model is not None and model.deleted_at:
            said = _("“%(name)s” has been deleted.") % {"name": model}
            raise ModelRefused(said, _("Choose another model."), where=where)


def check_start(model: Artifact, recipe: str = "", where: str = "model") -> None:
    """A policy into which everything that was trained before can be merged, or, for a recipe that takes one, an
    encoder. Raises ModelRefused."""
    if model.task == Task.ENCODER and Task.ENCODER not in STARTS.get(recipe, ()):
        raise ModelRefused(
            _("“%(name)s” is an encoder: it reads texts and writes none. Only reward models can be trained on it.")
            % {"name": model},
            _("Choose a policy."),
            where=where,
        )
    if model.task == Task.REWARD:
        raise ModelRefused(
            _("“%(name)s” is a reward model: it scores texts and writes none.") % {"name": model},
            _("Choose a policy."),
            where=where,
        )
    if adapter := blocking_adapter(model):
        raise ModelRefused(
            _("“%(name)s” cannot be trained further: its adapter (%(adapter)s) cannot become part of the model.")
            % {"name": model, "adapter": _(STAYING.get(adapter, adapter))},
            _("Choose a policy trained with another adapter, such as LoRA, or the one that this was made from."),
            where=where,
        )


def check_adapter(recipe: str, model: Artifact, config: dict[str, Any]) -> None:
    """Raises BadConfig for what was made for decoders, on an encoder."""
    if model.task != Task.ENCODER or config["adapter"] in ON_ENCODERS:
        return
    said = _("%(adapter)s is not offered on an encoder.") % {"adapter": _(ADAPTERS[config["adapter"]])}
    names = listed(_(ADAPTERS[name]) for name in ON_ENCODERS)
    hint = _("Use one of: %(names)s.") % {"names": names}
    raise BadConfig(f"{recipe}.adapter: {said}", hint, field="adapter", recipe=recipe, said=said)


def check_place(recipe: str, model: Artifact, config: dict[str, Any]) -> None:
    """Raises BadConfig for what has no place in the model, such as a layer that it does not have, as far as its
    config.json tells; where that is not here yet, or of a family that is only counted as if it were a Llama, the run
    itself will."""
    try:
        architecture = architecture_of(model)
    except (BadInput, BadConfig):
        return
    if not architecture.known:
        return
    with refused_in_words(recipe, _("Correct the setting and start again.")):
        settings = load(recipe, config)
        parameters(architecture, settings, "reward" if recipe == "reward" else "policy")
        require_twice([architecture], settings)


def enough_labels(snapshot: Snapshot) -> None:
    """Two pairs won by each side, one to train on and one to evaluate on. Raises TooFewLabels with the numbers."""
    counts = {name: snapshot.counts.get(name, 0) for name in ("won_by_a", "won_by_b", "train", "test")}
    if min(counts["won_by_a"], counts["won_by_b"]) >= 2 and counts["train"] >= 1 and counts["test"] >= 1:
        return
    raise TooFewLabels(
        ngettext(
            "Snapshot %(number)s has too few labels: %(won_by_a)s pair won by A and %(won_by_b)s by B, "
            "%(train)s for training and %(test)s for evaluation.",
            "Snapshot %(number)s has too few labels: %(won_by_a)s pairs won by A and %(won_by_b)s by B, "
            "%(train)s for training and %(test)s for evaluation.",
            counts["won_by_a"],
        )
        % {"number": snapshot.number, **counts},
        _("At least two won by A, two by B, and one pair in each split are needed. Judge more, then freeze again."),
        where="snapshot",
    )


def _check_reward_model(recipe: str, reward_model: Artifact | None) -> None:
    title, where = {"recipe": recipe}, "reward_model"
    if reward_model is not None:
        require_rewarded(recipe)
    if recipe not in REWARDED:
        return
    if reward_model is None:
        hint = _("Choose a reward model; one is trained with the recipe “reward”.")
        raise BadInput(_("“%(recipe)s” needs a reward model.") % title, hint, where=where)
    if reward_model.task != Task.REWARD:
        raise ModelRefused(
            _("“%(name)s” is a policy: it writes texts and scores none.") % {"name": reward_model},
            _("Choose a reward model."),
            where=where,
        )


def _check_data(recipe: str, inputs: Inputs) -> None:
    title, snapshot, demonstrations = {"recipe": recipe}, inputs.snapshot, inputs.demonstrations
    if inputs.feedback is not None:
        _check_feedback(recipe, inputs)
    if recipe == "sft":
        if snapshot is not None:
            said = _("“%(recipe)s” learns from demonstrations, not from a snapshot.") % title
            raise BadInput(said, _("Leave it out."), where="snapshot")
        if demonstrations is None:
            said = _("“%(recipe)s” needs a set of demonstrations.") % title
            raise BadInput(said, _("Upload one on the page “Demonstrations”."), where="demonstrations")
        return
    if demonstrations is not None:
        said = _("“%(recipe)s” learns from a snapshot, not from demonstrations.") % title
        raise BadInput(said, _("Leave them out."), where="demonstrations")
    if inputs.feedback is None:
        _check_snapshot(recipe, snapshot)


def _check_feedback(recipe: str, inputs: Inputs) -> None:
    if recipe not in UNPAIRED:
        said = _("“%(recipe)s” does not learn from single votes.") % {"recipe": recipe}
        hint = _("Leave the feedback out, or use: %(names)s.") % {"names": ", ".join(UNPAIRED)}
        raise BadInput(said, hint, where="feedback")
    if inputs.snapshot is not None:
        said = _("“%(recipe)s” learns from a snapshot or from feedback, not from both at once.") % {"recipe": recipe}
        raise BadInput(said, _("Leave one of them out."), where="feedback")


def _check_snapshot(recipe: str, snapshot: Snapshot | None) -> None:
    if snapshot is None:
        said = _("“%(recipe)s” needs a snapshot.") % {"recipe": recipe}
        hint = _("Freeze the judgments on the page “Snapshots”.")
        if recipe in UNPAIRED:
            said = _("“%(recipe)s” needs a snapshot or a set of feedback.") % {"recipe": recipe}
            hint = _("Freeze the judgments on the page “Snapshots”, or upload votes on the page “Feedback”.")
        raise BadInput(said, hint, where="snapshot")
    if recipe in REWARDED:
        _enough_prompts(snapshot)
    else:
        enough_labels(snapshot)


def _enough_prompts(snapshot: Snapshot) -> None:
    """Who won does not matter to a policy that writes its own responses: it takes the prompts alone."""
    counts = {name: snapshot.counts.get(name, 0) for name in ("train", "test")}
    if min(counts.values()) < 1:
        raise TooFewLabels(
            ngettext(
                "Snapshot %(number)s has too few prompts: %(train)s pair for training and %(test)s for evaluation.",
                "Snapshot %(number)s has too few prompts: %(train)s pairs for training and %(test)s for evaluation.",
                counts["train"],
            )
            % {"number": snapshot.number, **counts},
            _("At least one in each split is needed. Judge more, then freeze again."),
            where="snapshot",
        )


def _named(recipe: str, config: dict[str, Any], inputs: Inputs, seed: int) -> str:
    data = inputs.snapshot or inputs.demonstrations or inputs.feedback
    return naming.name_of(recipe, config, model=inputs.model, data=data, seed=seed)
