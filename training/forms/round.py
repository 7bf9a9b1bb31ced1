"""Asks what a round starts from, and by which method its policy is made."""

from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from annotate.models import DemonstrationSet, Project, Snapshot
from training.forms.fields import (
    DemonstrationsChoice,
    SnapshotChoice,
    StartChoice,
    first_that_can_be_trained,
    policies_of,
    seed_field,
)
from training.models import Artifact
from training.recipes.titles import METHODS, WHEN
from training.workflow.rounds import FRESH_PROMPTS
from training.workflow.starting import POLICIES


class RoundForm(forms.Form):
    """The settings of a round's stages are `RecipeForm`s beside it."""

    snapshot = SnapshotChoice(queryset=Snapshot.objects.none(), label=_("Snapshot"), empty_label=None)
    base_policy = StartChoice(
        queryset=Artifact.objects.none(),
        label=_("Policy to start from"),
        empty_label=None,
        help_text=_("The model that is trained further, and that the new one is compared with."),
    )
    demonstrations = DemonstrationsChoice(
        queryset=DemonstrationSet.objects.none(),
        label=_("Demonstrations (if any)"),
        required=False,
        empty_label=_("none: no fine-tuning first"),
        help_text=_("The policy first learns to imitate them; everything behind is then trained on top of that."),
    )
    fresh_prompts = forms.IntegerField(
        label=_("Fresh prompts"),
        initial=FRESH_PROMPTS,
        min_value=1,
        max_value=10_000,
        help_text=_("Prompts nobody has judged yet: both policies answer each of them, and each becomes a comparison."),
    )
    score_samples = forms.BooleanField(
        label=_("Score the samples"),
        initial=True,
        required=False,
        help_text=_(
            "The round's own reward model scores what both policies answer, so that the round's page says whether the "
            "reward has risen on fresh prompts. Annotators never see a score."
        ),
    )
    seed = seed_field()
    policy = forms.ChoiceField(label=_("Method"), initial="dpo", required=False, widget=forms.RadioSelect)

    def __init__(self, project: Project, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        snapshots, policies, sets = project.snapshots.all(), policies_of(project), project.demonstration_sets.all()
        self.fields["snapshot"].queryset = snapshots
        self.fields["snapshot"].initial = snapshots.first()
        self.fields["base_policy"].queryset = policies
        self.fields["base_policy"].initial = first_that_can_be_trained(policies)
        self.fields["demonstrations"].queryset = sets
        there = gettext("The project has %(n)s of them now; beyond that those compared least are taken.")
        fresh = self.fields["fresh_prompts"]
        fresh.help_text = f"{fresh.help_text} {there % {'n': project.prompts.fresh().count()}}"
        self.fields["policy"].choices = [(recipe, gettext(METHODS.get(recipe, recipe))) for recipe in POLICIES]

    def clean_policy(self) -> str:
        """DPO where nothing was chosen."""
        return self.cleaned_data["policy"] or "dpo"

    @property
    def methods(self) -> list[tuple[forms.boundfield.BoundWidget, str]]:
        """Each button with one line that says when to press it."""
        return [
            (button, gettext(WHEN[recipe]) if recipe in WHEN else "")
            for button, recipe in zip(self["policy"], POLICIES, strict=True)
        ]
