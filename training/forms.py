"""Forms of the right wing; a recipe's settings become fields by reading its dataclass."""

import types
import typing
from dataclasses import MISSING, Field, fields
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from annotate.models import Project, Snapshot
from training.models import Artifact, Task
from training.recipes import RECIPES, RecipeError, load

# What somebody who starts a run for the first time should see; the rest waits in "More settings".
FIRST_SETTINGS = {
    "epochs", "learning_rate", "beta", "adapter", "batch_size", "max_length",
    "samples_per_prompt", "temperature", "top_p", "max_new_tokens",
}  # fmt: skip
LARGEST_SEED = 2**32 - 1


def form_field(setting: Field, hint: Any) -> forms.Field:
    """The form field of one setting: its type from the annotation, label, help and limits from the metadata."""
    kinds = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    about = setting.metadata
    options: dict[str, Any] = {
        "label": gettext(about.get("label", setting.name)),
        "help_text": gettext(about["help"]) if about.get("help") else "",
        "required": type(None) not in kinds,
    }
    if setting.default is not MISSING:
        options["initial"] = setting.default
    if about.get("choices"):
        return forms.TypedChoiceField(
            choices=[(choice, gettext(str(choice))) for choice in about["choices"]], coerce=kinds[0], **options
        )
    if bool in kinds:
        return forms.BooleanField(**{**options, "required": False})
    if str in kinds:
        return forms.CharField(empty_value=None if type(None) in kinds else "", **{**options, "required": False})
    limits = {"min_value": about.get("min"), "max_value": about.get("max")}
    if float in kinds:
        return forms.FloatField(widget=forms.NumberInput(attrs={"step": "any"}), **limits, **options)
    return forms.IntegerField(**limits, **options)


class RecipeForm(forms.Form):
    """The settings of one recipe; `config` holds them after `is_valid()`."""

    def __init__(self, recipe: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, prefix=kwargs.pop("prefix", recipe), **kwargs)
        self.recipe = recipe
        hints = typing.get_type_hints(RECIPES[recipe])
        for setting in fields(RECIPES[recipe]):
            self.fields[setting.name] = form_field(setting, hints[setting.name])

    @property
    def first(self) -> list[forms.BoundField]:
        return [field for field in self if field.name in FIRST_SETTINGS]

    @property
    def more(self) -> list[forms.BoundField]:
        return [field for field in self if field.name not in FIRST_SETTINGS]

    @property
    def more_has_errors(self) -> bool:
        return any(field.errors for field in self.more)

    def clean(self) -> dict[str, Any]:
        """The recipe itself has the last word: what it refuses, the form refuses with its message."""
        if self.errors:
            return self.cleaned_data
        try:
            load(self.recipe, self.cleaned_data)
        except RecipeError as error:
            self.add_error(error.field if error.field in self.fields else None, error.message)
        return self.cleaned_data

    @property
    def config(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in self.fields}


class SnapshotChoice(forms.ModelChoiceField):
    """Shows how much is in each snapshot, because that decides what can be learned from it."""

    def label_from_instance(self, snapshot: Snapshot) -> str:
        counts = snapshot.counts
        return gettext("%(snapshot)s: %(train)s pairs to train, %(test)s to test") % {
            "snapshot": snapshot,
            "train": counts.get("train", 0),
            "test": counts.get("test", 0),
        }


def seed_field() -> forms.IntegerField:
    about = _("The same seed and settings give the same run.")
    return forms.IntegerField(label=_("Seed"), initial=0, min_value=0, max_value=LARGEST_SEED, help_text=about)


def policies_of(project: Project) -> "forms.models.QuerySet[Artifact]":
    return Artifact.objects.filter(project=project, task=Task.POLICY)


class RoundForm(forms.Form):
    """What a round starts from; the settings of its stages are `RecipeForm`s beside it."""

    snapshot = SnapshotChoice(queryset=Snapshot.objects.none(), label=_("Snapshot"), empty_label=None)
    base_policy = forms.ModelChoiceField(
        queryset=Artifact.objects.none(),
        label=_("Policy to start from"),
        empty_label=None,
        help_text=_("The model that is trained further, and that the new one is compared with."),
    )
    fresh_prompts = forms.IntegerField(
        label=_("Fresh prompts"),
        initial=20,
        min_value=1,
        max_value=10_000,
        help_text=_("Prompts nobody has judged yet: both policies answer each of them, and each becomes a comparison."),
    )
    seed = seed_field()

    def __init__(self, project: Project, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        snapshots, policies = project.snapshots.all(), policies_of(project)
        self.fields["snapshot"].queryset = snapshots
        self.fields["base_policy"].queryset = policies
        # Both are ordered newest first.
        self.fields["snapshot"].initial = snapshots.first()
        self.fields["base_policy"].initial = policies.first()


class SamplingForm(forms.Form):
    """Which model answers how many prompts, and the name of the comparisons that come of it."""

    model = forms.ModelChoiceField(queryset=Artifact.objects.none(), label=_("Model"), empty_label=None)
    reference = forms.ModelChoiceField(
        queryset=Artifact.objects.none(),
        label=_("Compare with"),
        required=False,
        empty_label=_("itself: the responses of one model with each other"),
        help_text=_("Another model answers the same prompts; each of its responses is compared with one of the first."),
    )
    batch_name = forms.CharField(
        label=_("Name of the batch"),
        max_length=120,
        help_text=_("The comparisons stand under this name in the queue. It should not tell who wrote the responses."),
    )
    prompts = forms.IntegerField(
        label=_("Prompts"),
        initial=20,
        min_value=1,
        max_value=100_000,
        help_text=_("Prompts nobody has judged yet come first."),
    )
    seed = seed_field()

    def __init__(self, project: Project, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        policies = policies_of(project)
        self.fields["model"].queryset = self.fields["reference"].queryset = policies
        self.fields["model"].initial = policies.first()
        self.fields["batch_name"].initial = gettext("Samples %(number)s") % {"number": project.batches.count() + 1}

    def clean(self) -> dict[str, Any]:
        if self.cleaned_data.get("reference") and self.cleaned_data["reference"] == self.cleaned_data.get("model"):
            self.add_error("reference", _("This is the same model. Choose another one, or none."))
        return self.cleaned_data

    def check_pairs(self, samples_per_prompt: int) -> None:
        """One response alone cannot be compared."""
        if samples_per_prompt < 2 and not self.cleaned_data["reference"]:
            message = _("One response per prompt makes no comparison: ask for two, or choose a model to compare with.")
            self.add_error(None, message)


class RegisterModelForm(forms.Form):
    """A base model by its place; whether it can be used is checked by the verb."""

    name = forms.CharField(label=_("Name"), max_length=120)
    location = forms.CharField(
        label=_("Location"),
        max_length=1000,
        help_text=_("A folder of safetensors or a GGUF file on the worker's disk, or a hub id such as owner/name."),
    )
