"""Asks which model answers how many prompts."""

from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from annotate.models import Project
from training.forms.fields import policies_of, reward_models_of, seed_field
from training.forms.queue import QueueForm
from training.models import Artifact


class SamplingForm(QueueForm):
    """Which model answers how many prompts, and the name of the comparisons that come of it."""

    model = forms.ModelChoiceField(queryset=Artifact.objects.none(), label=_("Model"), empty_label=None)
    reference = forms.ModelChoiceField(
        queryset=Artifact.objects.none(),
        label=_("Compare with"),
        required=False,
        empty_label=_("itself: the responses of one model with each other"),
        help_text=_("Another model answers the same prompts; each of its responses is compared with one of the first."),
    )
    reward_model = forms.ModelChoiceField(
        queryset=Artifact.objects.none(),
        label=_("Score with"),
        required=False,
        empty_label=_("no reward model"),
        help_text=_(
            "Scores every response as it is written, and can choose the pairs to compare. Annotators never see a score."
        ),
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
        self.fields["reward_model"].queryset = reward_models_of(project)
        self.fields["batch_name"].initial = gettext("Samples %(number)s") % {"number": project.batches.count() + 1}

    def clean(self) -> dict[str, Any]:
        if self.cleaned_data.get("reference") and self.cleaned_data["reference"] == self.cleaned_data.get("model"):
            self.add_error("reference", _("This is the same model. Choose another one, or none."))
        return self.cleaned_data
