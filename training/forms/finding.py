"""Asks which runs are shown and in which order; the page and the API read the same query."""

from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from annotate.models import Project, Snapshot
from training.models import Artifact, Round, RunState
from training.recipes.titles import TITLES

SORTS = {
    "newest": _("Newest first"),
    "oldest": _("Oldest first"),
    "started": _("Started last"),
    "name": _("Name"),
    "longest": _("Longest first"),
    "result": _("Best result first"),
}


class RoundChoice(forms.ModelChoiceField):
    def label_from_instance(self, round: Round) -> str:
        return gettext("Round %(number)s") % {"number": round.number}


class FindRunsForm(forms.Form):
    """`wanted` is what `finding.find` takes. A value that does not exist chooses nothing, and is said at its field."""

    q = forms.CharField(label=_("Name or number"), required=False, widget=forms.TextInput(attrs={"type": "search"}))
    recipe = forms.ChoiceField(label=_("Recipe"), required=False)
    state = forms.ChoiceField(label=_("State"), required=False, choices=[("", _("All")), *RunState.choices])
    model = forms.ModelChoiceField(Artifact.objects.none(), label=_("Model"), required=False, empty_label=_("All"))
    snapshot = forms.ModelChoiceField(
        Snapshot.objects.none(), label=_("Snapshot"), required=False, empty_label=_("All"), to_field_name="number"
    )
    round = RoundChoice(
        Round.objects.none(), label=_("Round"), required=False, empty_label=_("All"), to_field_name="number"
    )
    sort = forms.ChoiceField(label=_("Order"), required=False, choices=list(SORTS.items()))
    pinned = forms.BooleanField(label=_("Pinned only"), required=False)

    def __init__(self, project: Project, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        used = project.runs.order_by().values("model")
        self.fields["model"].queryset = Artifact.objects.filter(project=project, pk__in=used)
        self.fields["snapshot"].queryset = project.snapshots.all()
        self.fields["round"].queryset = project.rounds.all()
        choices = [(recipe, gettext(title)) for recipe, title in TITLES.items()]
        self.fields["recipe"].choices = [("", _("All")), *choices]
        for name in ("recipe", "state", "sort"):
            _name_the_choices(self.fields[name])

    @property
    def wanted(self) -> dict[str, Any]:
        self.is_valid()
        return self.cleaned_data

    @property
    def chooses(self) -> bool:
        """Something is asked for that may leave runs out."""
        return any(value for name, value in self.wanted.items() if name != "sort")


def _name_the_choices(field: forms.ChoiceField) -> None:
    """What cannot be chosen is answered with what can: over the API nobody has a list before them."""
    names = ", ".join(value for value, _label in field.choices if value)
    said = gettext("Choose one of: %(names)s.") % {"names": names}
    field.error_messages["invalid_choice"] = f"{field.error_messages['invalid_choice']} {said}"
