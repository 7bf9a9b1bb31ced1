"""The pages that start a single training run: which recipe, and then its form."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from annotate.access import in_project, require_role
from annotate.models import Project, Role, User
from annotate.views.asked_number import is_number
from annotate.views.sent_once import sent_once
from training.forms import RecipeForm, RunForm
from training.models import Run
from training.recipes.titles import WHEN
from training.tasks import dispatch_queued
from training.views.estimates import estimate_context, is_asked, is_to_start
from training.views.problems import unless_refused
from training.workflow.cloning import forgotten_settings, inputs_of, settings_to_begin_with
from training.workflow.starting import TRAINED, start_training


@require_http_methods(["GET", "HEAD", "POST"])
@require_role(Role.MANAGER)
@sent_once(is_to_start)
def create_run(request: HttpRequest, project: Project) -> HttpResponse:
    """Without `?recipe=` the choice of one; the form stands at the address with it, so it needs no script."""
    recipe = request.GET.get("recipe", "")
    source = source_of(project, request, recipe)
    if not recipe:
        choices = [(name, _(WHEN[name]) if name in WHEN else "") for name in TRAINED]
        return render(request, "training/run_choose.html", {"choices": choices, "chosen": request.GET.get("model", "")})
    if recipe not in TRAINED:
        raise Http404
    form = RunForm(project, recipe, request.POST or None, initial={**request.GET.dict(), **as_before(source)})
    begun = settings_to_begin_with(source) if source else None
    settings = RecipeForm(recipe, request.POST or None, initial=begun)
    if request.method == "POST" and not is_asked(request) and all([form.is_valid(), settings.is_valid()]):
        asked, config, stages = form.cleaned_data, settings.config, [settings]
        run = unless_refused(form, start, project, recipe, asked, config, request.user, stages=stages)
        if run:
            dispatch_queued()
            messages.success(request, _("“%(run)s” is queued.") % {"run": run}, extra_tags="ok")
            return redirect("run", project.slug, run.pk)
    forgotten = forgotten_settings(source) if source else []
    context = {"recipe": recipe, "form": form, "settings": settings, "sent": [settings], "source": source}
    context |= {"forgotten": forgotten, **estimated(request, project, form, settings)}
    part = "#estimate" if request.htmx and is_asked(request) else ""
    return TemplateResponse(request, f"training/run_create.html{part}", context)


def source_of(project: Project, request: HttpRequest, recipe: str) -> Run | None:
    """The run of this recipe, named by `?from=`, that the new one begins like."""
    asked = request.GET.get("from", "")
    if not asked:
        return None
    if not is_number(asked):
        raise Http404
    return in_project(Run, project, pk=int(asked), recipe=recipe)


def as_before(source: Run | None) -> dict[str, Any]:
    """What the form begins with: rows by their keys."""
    if source is None:
        return {}
    return {name: getattr(value, "pk", value) for name, value in inputs_of(source).items()}


def estimated(request: HttpRequest, project: Project, form: RunForm, settings: RecipeForm) -> dict[str, Any]:
    """What is chosen so far is enough, be the rest of the form as it may."""
    if is_asked(request):
        form.is_valid()
    asked = getattr(form, "cleaned_data", {})
    data = {name: asked.get(name) for name in ("snapshot", "demonstrations", "feedback")}
    data["reward"] = asked.get("reward_model")
    return estimate_context(request, asked.get("model"), [settings], **data)


def start(project: Project, recipe: str, asked: dict[str, Any], config: dict[str, Any], actor: User) -> Run:
    return start_training(
        project,
        recipe,
        asked.get("snapshot"),
        asked["model"],
        config,
        reward_model=asked.get("reward_model"),
        demonstrations=asked.get("demonstrations"),
        feedback=asked.get("feedback"),
        seed=asked["seed"],
        name=asked["name"],
        priority=asked["priority"],
        device=asked["device"],
        actor=actor,
    )
