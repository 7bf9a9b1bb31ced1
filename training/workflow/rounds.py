"""A round: its stages are runs, made at its start and queued one after the other as the one before succeeds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from annotate.models import Project, Snapshot, User
from annotate.workflow import intake
from training.models import Artifact, Round, Run, RunState
from training.workflow import runs, sampling, starting
from training.workflow.exceptions import BadConfig


@dataclass(frozen=True)
class Stage:
    """`title` names the run and what it makes; `defaults` differ from the recipe's own where a round wants it."""

    recipe: str
    title: str
    defaults: dict[str, Any]
    aim: Callable[[Run], None] | None = None

    @property
    def trains(self) -> bool:
        return self.recipe in starting.TRAINED


def _aim_at_new_policy(run: Run) -> None:
    """The last stage samples the round's own policy against the one it began with, on prompts that are fresh by now."""
    round = run.round
    round.batch = intake.open_batch(project=run.project, name=f"Round {round.number}", round_number=round.number)
    round.save(update_fields=["batch"])
    run.batch = round.batch
    run.model = Artifact.objects.get(run__round=round, run__recipe="dpo")
    run.reference_model = round.base_policy
    run.prompt_ids = [prompt.pk for prompt in sampling.choose_prompts(run.project, len(run.prompt_ids))]
    run.save(update_fields=["batch", "model", "reference_model", "prompt_ids"])


# Names of artifacts come from here and are data: they are not translated.
STAGES = (
    Stage("reward", "reward model", {}),
    Stage("dpo", "policy (DPO)", {}),
    Stage("sample", "samples", {"samples_per_prompt": 1}, _aim_at_new_policy),
)


def default_configs() -> dict[str, dict[str, Any]]:
    """The complete settings of each stage as the forms begin with them."""
    return {stage.recipe: runs.checked_config(stage.recipe, stage.defaults) for stage in STAGES}


def start_round(
    project: Project,
    snapshot: Snapshot,
    base_policy: Artifact,
    configs: dict[str, dict[str, Any]] | None = None,
    *,
    prompts: int = 40,
    seed: int = 0,
    actor: User | None = None,
) -> Round:
    """Makes the round with all of its runs and queues the first. `configs`: what differs from the defaults, by recipe.

    Raises TooFewLabels, TooLittleDisk, NoPrompts, ModelRefused or BadConfig; then nothing was made.
    """
    complete = _checked_configs(configs or {})
    training = [complete[stage.recipe] for stage in STAGES if stage.trains]
    starting.check_training(project, snapshot, base_policy, training)
    chosen = sampling.choose_prompts(project, max(prompts, 1))
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)
        number = (project.rounds.aggregate(last=Max("number"))["last"] or 0) + 1
        round = Round.objects.create(
            project=project, number=number, snapshot=snapshot, base_policy=base_policy, created_by=actor
        )
        for position, stage in enumerate(STAGES):
            runs.create_run(
                project,
                stage.recipe,
                complete[stage.recipe],
                f"Round {number} {stage.title}",
                seed=seed,
                snapshot=snapshot if stage.trains else None,
                model=base_policy if stage.trains else None,
                prompts=() if stage.trains else chosen,
                round=round,
                stage=position,
                state=RunState.WAITING,
                actor=actor,
            )
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
        aim = STAGES[run.stage].aim
        if aim:
            aim(run)
        return run if runs.queue(run, _("The stage before it is done.") if run.stage else "") else None
    return None


def advance_all() -> list[Run]:
    """Rounds whose supervisor died between a stage's end and the next one's beginning."""
    rounds = Round.objects.filter(runs__state=RunState.WAITING).distinct()
    return [run for round in rounds if (run := advance(round))]


def _checked_configs(configs: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    known = [stage.recipe for stage in STAGES]
    for recipe in configs:
        if recipe not in known:
            raise BadConfig(
                _("A round has no stage “%(recipe)s”.") % {"recipe": recipe},
                _("Its stages are: %(names)s.") % {"names": ", ".join(known)},
                field=recipe,
            )
    return {
        stage.recipe: runs.checked_config(stage.recipe, {**stage.defaults, **configs.get(stage.recipe, {})})
        for stage in STAGES
    }
