"""The links between the pages of a project, as far as the person's role reaches."""

from dataclasses import dataclass
from typing import Any

from django import template
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from annotate.models import Role

register = template.Library()


@dataclass(frozen=True)
class Link:
    url: str
    label: str
    current: bool


@dataclass(frozen=True)
class Section:
    title: str
    links: list[Link]


GUIDELINE_PAGES = ("guideline_version", "guideline_difference", "guideline_draft", "guideline_publish")
MODEL_PAGES = ("model", "model_register", "model_card", "model_export", "model_delete")
# Address name, label, the role it needs, and the other pages on which it is the current one.
SECTIONS = [
    (
        "",
        [
            ("project_overview", _("Overview"), Role.ANNOTATOR, ()),
            ("judge", _("Judge"), Role.ANNOTATOR, ()),
            ("guideline", _("Guideline"), Role.ANNOTATOR, GUIDELINE_PAGES),
        ],
    ),
    (
        _("Data"),
        [
            ("prompts", _("Prompts"), Role.REVIEWER, ("prompts_upload",)),
            ("comparisons", _("Comparisons"), Role.REVIEWER, ("comparison", "comparisons_upload")),
            ("agreement", _("Agreement"), Role.REVIEWER, ()),
            ("disputes", _("Adjudication"), Role.REVIEWER, ("adjudicate",)),
            ("label_value", _("Value of labels"), Role.REVIEWER, ()),
            (
                "demonstrations",
                _("Demonstrations"),
                Role.MANAGER,
                ("demonstrations_upload", "demonstration_set"),
            ),
            ("feedback", _("Feedback"), Role.MANAGER, ("feedback_upload", "feedback_set")),
            ("snapshots", _("Snapshots"), Role.REVIEWER, ("snapshot", "snapshot_create")),
        ],
    ),
    (
        _("Training"),
        [
            ("rounds", _("Rounds"), Role.REVIEWER, ("round", "round_create")),
            ("runs", _("Runs"), Role.REVIEWER, ("run", "run_create", "run_ranking", "runs_compare", "sampling_create")),
            ("benches", _("PEFT bench"), Role.REVIEWER, ("bench", "bench_create")),
            (
                "models",
                _("Models"),
                Role.REVIEWER,
                MODEL_PAGES,
            ),
            ("playgrounds", _("Playground"), Role.REVIEWER, ("playground_session",)),
            ("ratings", _("Ratings"), Role.REVIEWER, ()),
            ("probes", _("Probes"), Role.REVIEWER, ("probes_upload", "probes_shipped", "probe_set")),
        ],
    ),
    (
        _("Project"),
        [
            ("members", _("Members"), Role.MANAGER, ()),
            ("project_settings", _("Settings"), Role.MANAGER, ()),
        ],
    ),
]


@register.simple_tag(takes_context=True)
def project_nav(context: dict[str, Any]) -> list[Section]:
    """The sections of `request.project` for `request.role`; both are set by `access.require_role`."""
    request = context["request"]
    here = request.resolver_match.url_name if request.resolver_match else ""
    sections = []
    for title, entries in SECTIONS:
        links = [
            Link(reverse(name, args=[request.project.slug]), str(label), here == name or here in others)
            for name, label, needed, others in entries
            if request.role.allows(needed)
        ]
        if links:
            sections.append(Section(str(title), links))
    return sections


@register.simple_tag(takes_context=True)
def may(context: dict[str, Any], role: str) -> bool:
    """`{% may "manager" as can %}`: whether the person's role in this project includes that one."""
    mine = getattr(context.get("request"), "role", None)
    return mine is not None and mine.allows(Role(role))
