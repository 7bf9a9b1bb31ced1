"""A round: its stages are runs, made at its start and queued one after the other as the one before succeeds.

The stages are SFT (where demonstrations are given), the reward model, the policy, and its samples. What a stage is
aimed at, models that the stages before it make, is read from their runs when its turn comes. The samples are scored by
the round's own reward model unless that was declined.
"""

from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from annotate.lists import listed
from annotate.models import DemonstrationSet, Project, Prompt, Snapshot, User
from annotate.workflow import intake
from training.models import Artifact, Round, Run, RunState
from training.recipes import RECIPES
from training.recipes.adapters import MERGEABLE
from training.recipes.titles import ADAPTERS, METHODS
from training.workflow import runs, sampling, starting
from training.workflow.disk import enough_disk
from training.workflow.exceptions import BadConfig, BadInput, NotCancellable
from training.workflow.refusals import checked_config

# What the stages' settings differ in from the recipes' own.
DEFAULTS: dict[str, dict[str, Any]] = {"sample": {"samples_per_prompt": 1}}
# Sampled at the end where nothing else is said: as many comparisons to judge.
FRESH_PROMPTS = 20


@dataclass(frozen=True)
class Plan:
    """What a round is made of, checked and complete."""

    project: Project
    snapshot: Snapshot
    base_policy: Artifact
    demonstrations: DemonstrationSet | None
    configs: dict[str, dict[str, Any]]
    prompts: list[Prompt]


def stages_of(policy: str, with_demonstrations: bool = False) -> tuple[str, ...]:
    """The recipes of a round, in order."""
    return (*(("sft",) if with_demonstrations else ()), "reward", policy, "sample")


def default_configs() -> dict[str, dict[str, Any]]:
    """The settings of every stage that a round can have, as the forms begin with them: what a recipe settles by other
    settings is open yet."""
    return {
        recipe: {setting.name: setting.default for setting in fields(RECIPES[recipe])} | DEFAULTS.get(recipe, {})
        for recipe in ("sft", "reward", *starting.POLICIES, "sample")
    }


def start_round(
    project: Project,
    snapshot: Snapshot,
    base_policy: Artifact,
    configs: dict[str, dict[str, Any]] | None = None,
    *,
    policy: str = "dpo",
    demonstrations: DemonstrationSet | None = None,
    prompts: int = FRESH_PROMPTS,
    score_samples: bool = True,
    seed: int = 0,
    actor: User | None = None,
) -> Round:
    """Makes the round with all of its runs and queues the first. `configs`: what differs from the defaults, by recipe;
    `score_samples`: by its reward model, at its end.

    Raises TooFewLabels, TooLittleDisk, NoPrompts, ModelRefused, BadInput or BadConfig; then nothing was made.
    """
    complete = _checked_configs(policy, demonstrations is not None, configs or {}, score_samples)
    _check_what_it_starts_from(project, snapshot, base_policy, demonstrations)
    for recipe, settings in complete.items():
        if recipe in starting.TRAINED:
            starting.check_place(recipe, base_policy, settings)
    enough_disk(base_policy, list(complete.items()))
    chosen = sampling.choose_prompts(project, max(prompts, 1))
    plan = Plan(project, snapshot, base_policy, demonstrations, complete, chosen)
    with transaction.atomic():
        # `no_key`: a run that has its models already, and still needs the project, must not wait for us.
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        number = (project.rounds.aggregate(last=Max("number"))["last"] or 0) + 1
        round = Round.objects.create(
            project=project,
            number=number,
            snapshot=snapshot,
            base_policy=base_policy,
            score_samples=score_samples,
            created_by=actor,
        )
        for position, recipe in enumerate(complete):
            _create_stage(round, position, recipe, plan, seed, actor)
        advance(round)
    return round


@transaction.atomic
def advance(round: Round) -> Run | None:
    """Queues the stage whose turn it is; None if it is under way, has failed, or all are done. Safe to call twice."""
    round = Round.objects.select_for_update().get(pk=round.pk)
    for run in round.runs.order_by("stage"):
        if run.state == RunState.SUCCEEDED:
            continue
        if run.state != RunState.WAITING:
            return None
        _aim(run)
        detail = gettext_noop("The stage before it is done.") if run.stage else ""
        return run if runs.queue(run, detail) else None
    return None


@transaction.atomic
def resume(run: Run, actor: User | None = None) -> Run:
    """Resumes any run; a stage of a round, which may have been cancelled before its turn came, is aimed first. Raises
    RunNotResumable."""
    if run.round is not None:  # the round's lock before those of models, as `advance` takes them
        Round.objects.select_for_update().get(pk=run.round_id)
    runs.resume(run, actor)
    if run.round is not None:
        advance(run.round)
        run.refresh_from_db()
        runs.require_models(run)
    return run


def stop(round: Round) -> None:
    """Cancels the stages that wait; they can be resumed."""
    for run in round.runs.filter(state=RunState.WAITING).order_by("stage"):
        with suppress(NotCancellable):  # a manager was faster
            runs.request_cancel(run)


def advance_all() -> list[Run]:
    """Rounds whose supervisor died between a stage's end and the next one's beginning."""
    rounds = Round.objects.filter(runs__state=RunState.WAITING).distinct()
    return [run for round in rounds if (run := advance(round))]


def _create_stage(round: Round, position: int, recipe: str, plan: Plan, seed: int, actor: User | None) -> Run:
    imitates, samples = recipe == "sft", recipe == "sample"
    return runs.create_run(
        plan.project,
        recipe,
        plan.configs[recipe],
        f"Round {round.number} {_name(recipe)}",
        seed=seed,
        snapshot=None if imitates or samples else plan.snapshot,
        demonstrations=plan.demonstrations if imitates else None,
        model=None if samples else plan.base_policy,
        prompts=plan.prompts if samples else (),
        round=round,
        stage=position,
        state=RunState.WAITING,
        actor=actor,
    )


def _name(recipe: str) -> str:
    """Names of artifacts come from here and are data: they are not translated."""
    names = {"sft": "fine-tuned (SFT)", "reward": "reward model", "sample": "samples"}
    return names.get(recipe) or f"policy ({METHODS.get(recipe, recipe)})"


def _aim(run: Run) -> None:
    """The first stage knows from its making what it trains, and samples that have been begun go on as they were. A
    model that was deleted since is aimed at, too: `resume` refuses it."""
    if run.recipe == "sample":
        if run.batch is None:
            _aim_at_new_policy(run)
    elif run.stage:
        _aim_at_start(run)


def _aim_at_start(run: Run) -> None:
    """Reward model and policy are trained on top of what the demonstrations made of the base."""
    run.model = _start_of(run.round)
    if run.recipe in starting.REWARDED:
        run.reward_model = _reward_model_of(run.round)
    run.save(update_fields=["model", "reward_model"])


def _aim_at_new_policy(run: Run) -> None:
    """The last stage samples the round's own policy against what it began with, on prompts that are fresh by now."""
    round = run.round
    round.batch = intake.open_batch(project=run.project, name=f"Round {round.number}", round_number=round.number)
    round.save(update_fields=["batch"])
    run.batch = round.batch
    run.model = Artifact.ever.get(run__round=round, run__recipe__in=starting.POLICIES)
    run.reference_model = _start_of(round)
    run.reward_model = _reward_model_of(round) if round.score_samples else None
    run.prompt_ids = [prompt.pk for prompt in sampling.choose_prompts(run.project, len(run.prompt_ids))]
    run.save(update_fields=["batch", "model", "reference_model", "reward_model", "prompt_ids"])


def _start_of(round: Round) -> Artifact:
    """What reward model and policy begin with: the product of SFT, if there was one."""
    return Artifact.ever.filter(run__round=round, run__recipe="sft").first() or round.base_policy


def _reward_model_of(round: Round) -> Artifact:
    return Artifact.ever.get(run__round=round, run__recipe="reward")


def _check_what_it_starts_from(
    project: Project, snapshot: Snapshot, base_policy: Artifact, demonstrations: DemonstrationSet | None
) -> None:
    starting.check_start(base_policy, where="base_policy")
    starting.check_inputs(project, "reward", starting.Inputs(base_policy, snapshot))
    if demonstrations is not None:
        starting.check_inputs(project, "sft", starting.Inputs(base_policy, demonstrations=demonstrations))


def _checked_configs(
    policy: str, with_demonstrations: bool, configs: dict[str, dict[str, Any]], score_samples: bool
) -> dict[str, dict[str, Any]]:
    """Complete, by recipe, in the order of the stages."""
    if policy not in starting.POLICIES:
        raise BadInput(
            _("A round cannot make its policy with “%(recipe)s”.") % {"recipe": policy},
            _("Use one of: %(names)s.") % {"names": ", ".join(starting.POLICIES)},
            where="policy",
        )
    stages = stages_of(policy, with_demonstrations)
    for recipe in configs:
        if recipe not in stages:
            raise BadConfig(
                _("This round has no stage “%(recipe)s”.") % {"recipe": recipe},
                _("Its stages are: %(names)s.") % {"names": listed(stages)},
                field=recipe,
            )
    complete = {
        recipe: checked_config(recipe, {**DEFAULTS.get(recipe, {}), **configs.get(recipe, {})}) for recipe in stages
    }
    sampling.check_pairs(complete["sample"], reference=True, scored=score_samples)
    if with_demonstrations:
        _check_can_be_trained_on(complete["sft"])
    return complete


def _check_can_be_trained_on(config: dict[str, Any]) -> None:
    """What SFT makes is the start of the stages behind it."""
    if config["adapter"] in MERGEABLE:
        return
    said = _("%(adapter)s stays beside the model, and the stages behind it could not be trained on top of it.")
    said %= {"adapter": _(ADAPTERS.get(config["adapter"], config["adapter"]))}
    names = listed(_(ADAPTERS[name]) for name in ADAPTERS if name in MERGEABLE)
    raise BadConfig(
        f"sft.adapter: {said}", _("Use one of: %(names)s.") % {"names": names}, field="adapter", recipe="sft", said=said
    )
