"""Rounds: the list, the form that starts one, and the page that follows it."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.utils.functional import SimpleLazyObject, cached_property
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from django_htmx.http import HttpResponseClientRefresh

from annotate.access import in_project, require_role
from annotate.models import Project, Role, User
from annotate.views.sent_once import sent_once
from annotate.workflow import snapshots
from training.forms import RecipeForm, RoundForm
from training.models import Round, Run, RunState
from training.recipes.estimate import Machine
from training.tasks import dispatch_queued
from training.views.estimates import SamplingPanel, estimate_context, is_asked, is_to_start, sampling_panel
from training.views.problems import unless_refused
from training.views.rollout_samples import newest_samples
from training.views.runs import curves_with_numbers
from training.workflow.evaluation import Results, TextPair, results_of
from training.workflow.round_outcome import outcome_of
from training.workflow.rounds import FRESH_PROMPTS, default_configs, stages_of, start_round
from training.workflow.sampling_estimates import asked_of_round
from training.workflow.starting import POLICIES, REWARDED
from training.workflow.waiting import waits_of

# A round is in the first of these states that any of its stages is in.
WEIGHTIEST = (
    RunState.FAILED,
    RunState.CANCELLED,
    RunState.CANCELLING,
    RunState.RUNNING,
    RunState.QUEUED,
    RunState.WAITING,
    RunState.SUCCEEDED,
)


@dataclass
class RoundRow:
    """A round with its stages in order, and the one state that tells how it stands."""

    round: Round
    stages: list[Run]

    @property
    def state(self) -> RunState:
        states = {stage.state for stage in self.stages}
        return next((state for state in WEIGHTIEST if state in states), RunState.WAITING)

    @property
    def is_over(self) -> bool:
        """Nothing more will happen by itself; stages behind a failed one wait until somebody resumes that."""
        states = {stage.state for stage in self.stages}
        under_way = states & {RunState.QUEUED, RunState.RUNNING, RunState.CANCELLING}
        stuck = states & {RunState.FAILED, RunState.CANCELLED}
        return not under_way and (bool(stuck) or RunState.WAITING not in states)

    @property
    def done(self) -> int:
        return sum(stage.is_over for stage in self.stages)

    @cached_property
    def results(self) -> list[tuple[Run, Results]]:
        return [(stage, results_of(stage)) for stage in self.stages if stage.is_over]

    @property
    def has_plot(self) -> bool:
        return any(results.details and results.details.bins for _stage, results in self.results)

    @property
    def pairs(self) -> list[TextPair]:
        """The same texts are results of the policy and of the sampling: shown once."""
        return next((results.pairs for _stage, results in self.results if results.pairs), [])


def learning_of(row: RoundRow) -> dict[str, Any]:
    """The curves and the newest samples of a policy that writes its own responses: what its round is looked at for."""
    run = next((stage for stage in row.stages if stage.recipe in REWARDED and stage.started_at), None)
    if run is None:
        return {}
    return {"learning": run, "written": newest_samples(run), **curves_with_numbers(run)}


def row_of(round: Round) -> RoundRow:
    return RoundRow(round, sorted(round.runs.all(), key=lambda run: run.stage))


@require_safe
@require_role(Role.REVIEWER)
def list_rounds(request: HttpRequest, project: Project) -> HttpResponse:
    rounds = project.rounds.select_related("snapshot", "base_policy", "batch", "created_by").prefetch_related("runs")
    page = Paginator(rounds, 30).get_page(request.GET.get("page"))
    return render(request, "training/rounds.html", {"page": page, "rows": [row_of(round) for round in page]})


@require_http_methods(["GET", "HEAD", "POST"])
@require_role(Role.MANAGER)
@sent_once(is_to_start)
def create_round(request: HttpRequest, project: Project) -> HttpResponse:
    """The settings of every stage that the round will have are checked before anything is made."""
    form, chosen = RoundForm(project, request.POST or None, initial=request.GET.dict()), []
    if request.method == "POST":
        entered = form.is_valid()
        chosen = [stage for recipe in recipes_asked_for(form) if (stage := stage_form(recipe, request.POST)).was_sent]
        if not is_asked(request) and all([entered, *(stage.is_valid() for stage in chosen)]):
            round = unless_refused(form, start, project, form.cleaned_data, chosen, request.user, stages=chosen)
            if round:
                dispatch_queued()
                said = _("Round %(number)s has started.") % {"number": round.number}
                messages.success(request, said, extra_tags="ok")
                return redirect("round", project.slug, round.number)
    stages = {**stages_to_show(request), **{stage.recipe: stage for stage in chosen}}
    context = {
        "form": form,
        "stages": stages,
        "policies": [stages[recipe] for recipe in POLICIES],
        "refused": [stage for stage in chosen if stage.errors],
        # Reads every judgment: only where the page shows it.
        "now": SimpleLazyObject(lambda: snapshots.select(project=project).counts),
        **estimated(request, project, form, chosen),
    }
    part = "#estimate" if request.htmx and is_asked(request) else ""
    return TemplateResponse(request, f"training/round_create.html{part}", context)


def estimated(request: HttpRequest, project: Project, form: RoundForm, chosen: list[RecipeForm]) -> dict[str, Any]:
    """A table for each stage; all that train are taken to begin with the policy that is chosen."""
    asked = getattr(form, "cleaned_data", {})
    data = {name: asked.get(name) for name in ("snapshot", "demonstrations")}
    stages = [stage for stage in chosen if stage.recipe != "sample"]
    context = estimate_context(request, asked.get("base_policy"), stages, **data)
    if is_asked(request) and asked.get("base_policy") and len(stages) < len(chosen):
        context["panels"].append(samples_panel(form, chosen, context["device"].machine()))
    return context


def samples_panel(form: RoundForm, chosen: list[RecipeForm], machine: Machine) -> SamplingPanel:
    """Of the last stage, by the settings of those before it."""
    asked, (*trained, sample) = form.cleaned_data, chosen
    if not all(stage.is_valid() for stage in trained):
        return SamplingPanel(problem=_("A setting cannot be used; it is marked when you start."))
    settings = {recipe: default_configs()[recipe] for recipe in recipes_asked_for(form)}
    settings |= {stage.recipe: stage.config for stage in trained}
    count, score = asked.get("fresh_prompts") or FRESH_PROMPTS, asked["score_samples"]
    return sampling_panel(
        sample, lambda own: asked_of_round(asked["base_policy"], {**settings, "sample": own}, count, score, machine)
    )


def recipes_asked_for(form: RoundForm) -> tuple[str, ...]:
    entered = form.cleaned_data
    return stages_of(entered.get("policy") or "dpo", entered.get("demonstrations") is not None)


def stages_to_show(request: HttpRequest) -> dict[str, RecipeForm]:
    """Every stage that a round can have, as it comes, or as it was sent: of what is not chosen nothing is checked."""
    return {
        recipe: stage_form(recipe, initial={**config, **stage_form(recipe, request.POST).entered})
        for recipe, config in default_configs().items()
    }


def stage_form(recipe: str, *args: Any, **kwargs: Any) -> RecipeForm:
    """A round's samples are of two models, so there are no pairs to choose from."""
    return RecipeForm(recipe, *args, without=("pairs",) if recipe == "sample" else (), **kwargs)


def start(project: Project, asked: dict[str, Any], stages: list[RecipeForm], actor: User) -> Round:
    return start_round(
        project,
        asked["snapshot"],
        asked["base_policy"],
        {stage.recipe: stage.config for stage in stages},
        policy=asked["policy"],
        demonstrations=asked["demonstrations"],
        prompts=asked["fresh_prompts"],
        score_samples=asked["score_samples"],
        seed=asked["seed"],
        actor=actor,
    )


@require_safe
@never_cache
@require_role(Role.REVIEWER)
def show_round(request: HttpRequest, project: Project, number: int) -> HttpResponse:
    """HTMX asks for the part `stages` while the round goes on; once it is over the whole page is loaded anew."""
    rounds = Round.objects.select_related("snapshot", "base_policy", "batch", "created_by")
    row = row_of(in_project(rounds, project, number=number))
    if not request.htmx:
        demonstrations = next((stage.demonstrations for stage in row.stages if stage.demonstrations_id), None)
        context = {"row": row, "round": row.round, "waits": waits_of(row.stages), "demonstrations": demonstrations}
        context["outcome"] = outcome_of(row.stages)
        return render(request, "training/round.html", {**context, **learning_of(row)})
    if row.is_over or request.GET.get("done") != str(row.done):
        return HttpResponseClientRefresh()
    context = {"row": row, "round": row.round, "waits": waits_of(row.stages)}
    return render(request, "training/round.html#stages", context)
