"""On what, and how precisely, a run computes: from its product's manifest, or from what it has said so far."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from training.models import Run
from training.workflow.folders import progress_of
from training.workflow.run_lines import read_rows

FACTS = {
    "device": _("Device"),
    "precision": _("Precision"),
    "precision_reason": _("Why this precision"),
    "attention": _("Attention"),
    "prompts": _("Shared prompts"),
    "gradient_checkpointing": _("Gradient checkpointing"),
    "processes": _("Processes"),
    "sharing": _("Backbones"),
}


@dataclass(frozen=True)
class Machine:
    """`facts` as (label, value); `fallbacks` says what is done in another way than it was asked for."""

    facts: list[tuple[str, str]]
    fallbacks: list[str]


def machine_of(run: Run, manifest: dict[str, Any]) -> Machine:
    """A run under way tells it in the lines of kind "status", the first ones."""
    said: dict[str, Any] = {}
    if not manifest:
        for row in read_rows(progress_of(run), 0)["rows"]:
            if row.get("kind") == "status":
                said |= row
    return told_by(manifest or said)


def told_by(said: dict[str, Any]) -> Machine:
    facts = [(str(label), _shown(said[name])) for name, label in FACTS.items() if said.get(name) not in (None, "")]
    fallbacks = said.get("fallbacks")
    sentences = [gettext(str(sentence)) for sentence in fallbacks if sentence] if isinstance(fallbacks, list) else []
    return Machine(facts, sentences)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    return gettext(str(value))
