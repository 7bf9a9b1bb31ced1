"""The form that lets a model answer prompts, so that there is something to compare."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from annotate.access import require_role
from annotate.models import Project, Role, User
from annotate.views.sent_once import sent_once
from annotate.workflow.intake import open_batch
from training.forms import DeviceForm, RecipeForm, SamplingForm
from training.models import Run
from training.tasks import dispatch_queued
from training.views.estimates import SamplingPanel, is_asked, is_to_start, sampling_panel
from training.views.problems import unless_refused
from training.views.training import source_of
from training.workflow.cloning import known_settings
from training.workflow.sampling import choose_prompts, start_sampling
from training.workflow.sampling_estimates import asked_of_sampling


@require_http_methods(["GET", "HEAD", "POST"])
@require_role(Role.MANAGER)
@sent_once(is_to_start)
def create_sampling(request: HttpRequest, project: Project) -> HttpResponse:
    source = source_of(project, request, "sample")
    form = SamplingForm(project, request.POST or None, initial={**request.GET.dict(), **as_before(source)})
    settings = RecipeForm("sample", request.POST or None, initial=known_settings(source) if source else None)
    if request.method == "POST" and not is_asked(request) and all([form.is_valid(), settings.is_valid()]):
        run = unless_refused(
            form, start, project, form.cleaned_data, settings.config, form.waits_as,
            actor=request.user, stages=[settings],
        )  # fmt: skip
        if run:
            dispatch_queued()
            messages.success(request, _("Sampling is queued; comparisons appear while it goes on."), extra_tags="ok")
            return redirect("run", project.slug, run.pk)
    context = {"form": form, "settings": settings, "prompts": project.prompts.count(), "fresh": fresh_in(project)}
    context |= {"source": source, **estimated(request, project, form, settings)}
    part = "#estimate" if request.htmx and is_asked(request) else ""
    return TemplateResponse(request, f"training/sampling_create.html{part}", context)


def estimated(request: HttpRequest, project: Project, form: SamplingForm, settings: RecipeForm) -> dict[str, Any]:
    """What is chosen so far is enough, be the rest of the form as it may."""
    if not is_asked(request):
        return {"device": DeviceForm(), "panels": []}
    form.is_valid()
    device, asked = DeviceForm(request.POST), form.cleaned_data
    models = {name: asked.get(name) for name in ("reference", "reward_model")}
    more = {**models, "prompts": asked.get("prompts"), "machine": device.machine()}
    if asked.get("model") is None:
        panel = SamplingPanel(problem=_("Choose a model."))
    else:
        panel = sampling_panel(settings, lambda config: asked_of_sampling(project, config, asked["model"], **more))
    return {"device": device, "panels": [panel]}


def as_before(source: Run | None) -> dict[str, Any]:
    """What the form begins with when an earlier sampling is done again: as many prompts, not the same ones."""
    if source is None:
        return {}
    facts = {"model": source.model_id, "reference": source.reference_model_id, "prompts": len(source.prompt_ids)}
    return {
        **facts,
        "reward_model": source.reward_model_id,
        "seed": source.seed,
        "priority": source.priority,
        "device": source.device,
    }


def start(
    project: Project, asked: dict[str, Any], config: dict[str, Any], waits_as: dict[str, Any], actor: User
) -> Run:
    """The batch is made with the run or not at all: the caller's transaction holds both."""
    return start_sampling(
        project,
        asked["model"],
        config,
        choose_prompts(project, asked["prompts"]),
        batch=open_batch(project=project, name=asked["batch_name"]),
        reference=asked["reference"],
        reward_model=asked["reward_model"],
        seed=asked["seed"],
        **waits_as,
        actor=actor,
    )


def fresh_in(project: Project) -> int:
    return project.prompts.fresh().count()
