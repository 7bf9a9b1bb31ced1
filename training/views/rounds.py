"""Rounds: the list, the form that starts one, and the page that follows it."""

from dataclasses import dataclass

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from django_htmx.http import HttpResponseClientRefresh

from annotate.access import in_project, require_role
from annotate.models import Project, Role
from annotate.workflow import snapshots
from training.forms import RecipeForm, RoundForm
from training.models import Round, Run, RunState
from training.tasks import dispatch_queued
from training.views.problems import unless_refused
from training.workflow.evaluation import Results, TextPair, results_of
from training.workflow.rounds import default_configs, start_round

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
    def pairs(self) -> list[TextPair]:
        """The same texts are results of the policy and of the sampling: shown once."""
        return next((results.pairs for _stage, results in self.results if results.pairs), [])


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
def create_round(request: HttpRequest, project: Project) -> HttpResponse:
    """The settings of every stage are checked before anything is made."""
    form = RoundForm(project, request.POST or None, initial=request.GET.dict())
    stages = [RecipeForm(recipe, request.POST or None, initial=config) for recipe, config in default_configs().items()]
    if request.method == "POST" and all([form.is_valid(), *(stage.is_valid() for stage in stages)]):
        asked = form.cleaned_data
        round = unless_refused(
            form,
            start_round,
            project,
            asked["snapshot"],
            asked["base_policy"],
            {stage.recipe: stage.config for stage in stages},
            prompts=asked["fresh_prompts"],
            seed=asked["seed"],
            actor=request.user,
        )
        if round:
            dispatch_queued()
            messages.success(request, _("Round %(number)s has started.") % {"number": round.number}, extra_tags="ok")
            return redirect("round", project.slug, round.number)
    context = {"form": form, "stages": stages, "now": snapshots.select(project=project).counts}
    return render(request, "training/round_create.html", context)


@require_safe
@never_cache
@require_role(Role.REVIEWER)
def show_round(request: HttpRequest, project: Project, number: int) -> HttpResponse:
    """HTMX asks for the part `stages` while the round goes on; once it is over the whole page is loaded anew."""
    rounds = Round.objects.select_related("snapshot", "base_policy", "batch", "created_by")
    row = row_of(in_project(rounds, project, number=number))
    if not request.htmx:
        return render(request, "training/round.html", {"row": row, "round": row.round})
    if row.is_over or request.GET.get("done") != str(row.done):
        return HttpResponseClientRefresh()
    return render(request, "training/round.html#stages", {"row": row, "round": row.round})
