"""Asks what a single training run learns from; which fields it has depends on the recipe."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from annotate.models import DemonstrationSet, FeedbackSet, Project, Snapshot
from training.forms.fields import (
    DemonstrationsChoice,
    FeedbackChoice,
    SnapshotChoice,
    StartChoice,
    first_that_can_be_trained,
    reward_models_of,
    seed_field,
    starts_for,
)
from training.forms.queue import QueueForm
from training.models import Artifact, Task
from training.workflow.artifacts import STARTS
from training.workflow.naming import LONGEST
from training.workflow.starting import REWARDED, UNPAIRED


class RunForm(QueueForm):
    """The settings of the recipe are a `RecipeForm` beside it."""

    snapshot = SnapshotChoice(queryset=Snapshot.objects.none(), label=_("Snapshot"), empty_label=None)
    demonstrations = DemonstrationsChoice(
        queryset=DemonstrationSet.objects.none(), label=_("Demonstrations"), empty_label=None
    )
    feedback = FeedbackChoice(
        queryset=FeedbackSet.objects.none(),
        label=_("Feedback"),
        required=False,
        empty_label=_("none: it learns from the snapshot"),
        help_text=_("Single votes to learn from in place of the snapshot, which then does not count."),
    )
    model = StartChoice(
        queryset=Artifact.objects.none(),
        label=_("Policy to start from"),
        empty_label=None,
        help_text=_("It is left as it is: what is trained is a model of its own."),
    )
    reward_model = forms.ModelChoiceField(
        queryset=Artifact.objects.none(),
        label=_("Reward model"),
        empty_label=None,
        help_text=_("It scores what the policy writes. It is right only near the texts it was trained on."),
    )
    seed = seed_field()
    name = forms.CharField(
        label=_("Name"),
        required=False,
        max_length=LONGEST,
        help_text=_("Of the run and its model. Left open, it is put together from recipe, method, model and data."),
    )

    def __init__(self, project: Project, recipe: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = {
            "snapshot": project.snapshots.all(),
            "demonstrations": project.demonstration_sets.all(),
            "feedback": project.feedback_sets.all(),
            "reward_model": reward_models_of(project),
        }
        unused = {"snapshot"} if recipe == "sft" else {"demonstrations"}
        if recipe not in REWARDED:
            unused.add("reward_model")
        if recipe not in UNPAIRED or not rows["feedback"].exists():
            unused.add("feedback")
        elif not rows["snapshot"].exists():
            unused.add("snapshot")
        for name, found in rows.items():
            if name in unused:
                del self.fields[name]
            else:
                self.fields[name].queryset = found
                self.fields[name].initial = found.first()
        self._settle_feedback()
        self.fields["model"].queryset = starts = starts_for(project, recipe)
        self.fields["model"].initial = first_that_can_be_trained(starts, base_first=recipe == "reward")
        if Task.ENCODER in STARTS.get(recipe, ()):
            self.fields["model"].label = _("Policy or encoder to start from")

    def _settle_feedback(self) -> None:
        """The choice where there is a snapshot too, and what it learns from where there is none."""
        if "feedback" not in self.fields:
            return
        field = self.fields["feedback"]
        if "snapshot" in self.fields:
            field.initial = None
        else:
            field.required, field.empty_label, field.help_text = True, None, ""

    def clean(self) -> dict[str, Any]:
        if self.cleaned_data.get("feedback"):
            self.cleaned_data["snapshot"] = None
        return self.cleaned_data

    @property
    def lacking(self) -> list[str]:
        """The names of the fields that have nothing to choose from."""
        choices = {name: field for name, field in self.fields.items() if isinstance(field, forms.ModelChoiceField)}
        return [name for name, field in choices.items() if not field.queryset.exists()]
