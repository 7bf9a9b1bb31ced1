"""Asks which adapter methods are compared, on what, and what is the same for all of them."""

from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from annotate.models import Project, Snapshot
from training.forms.fields import SnapshotChoice, StartChoice, first_that_can_be_trained, seed_field, starts_for
from training.forms.queue import QueueForm
from training.forms.recipe import form_field, shown
from training.models import Artifact
from training.recipes import RECIPES
from training.recipes.estimate.adapters import methods_for
from training.recipes.fields import types_of
from training.recipes.titles import ADAPTERS

# Settings that every method looks at, under the recipe's own names.
SHARED = ("epochs", "learning_rate", "batch_size", "max_length")


class BenchForm(QueueForm):
    """Everything is chosen already: one click starts it."""

    snapshot = SnapshotChoice(queryset=Snapshot.objects.none(), label=_("Snapshot"), empty_label=None)
    model = StartChoice(queryset=Artifact.objects.none(), label=_("Model to train each method on"), empty_label=None)
    methods = forms.MultipleChoiceField(
        label=_("Adapter methods"),
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Each is a run of its own. Those that the model has no place for are listed with the reason."),
    )
    seed = seed_field()

    def __init__(self, project: Project, recipe: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.recipe = recipe
        self.fields["snapshot"].queryset = snapshots = project.snapshots.all()
        self.fields["snapshot"].initial = snapshots.first()
        self.fields["model"].queryset = starts = starts_for(project, recipe)
        self.fields["model"].initial = first_that_can_be_trained(starts, base_first=True)
        methods = list(methods_for(recipe))
        self.fields["methods"].choices = [(name, gettext(ADAPTERS[name])) for name in methods]
        self.fields["methods"].initial = methods
        hints = types_of(RECIPES[recipe])
        for name in SHARED:
            self.fields[name] = form_field(RECIPES[recipe].__dataclass_fields__[name], hints[name])
        rate = self.fields["learning_rate"]
        rate.help_text = _(
            "That of LoRA. The others get the customary multiple of it; the table says which rate each was trained at."
        )
        of_lora = RECIPES[recipe].__dataclass_fields__["learning_rate"].metadata["of_lora"]
        rate.widget.attrs["placeholder"] = shown(of_lora)

    @property
    def asked(self) -> list[forms.BoundField]:
        return [self[name] for name in ("snapshot", "model", "seed")]

    @property
    def shared(self) -> list[forms.BoundField]:
        return [self[name] for name in SHARED]

    @property
    def config(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in SHARED}

    @property
    def lacking(self) -> list[str]:
        """The names of the fields that have nothing to choose from."""
        return [name for name in ("snapshot", "model") if not self.fields[name].queryset.exists()]
