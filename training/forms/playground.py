"""Asks what a playground loads, what is said in it, and which text is scored."""

from dataclasses import fields
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from annotate.models import Project
from training.forms.fields import policies_of, reward_models_of
from training.forms.queue import QueueForm
from training.forms.recipe import form_field
from training.models import LARGEST_SEED, Artifact
from training.recipes.fields import types_of
from training.recipes.mailbox import LONGEST
from training.recipes.playground import PlaygroundConfig, TalkConfig
from training.workflow.playground import LEFT, RIGHT
from training.workflow.playground_chat import EACH


class PlaygroundForm(QueueForm):
    """One model or two, a reward model, or that alone."""

    model = forms.ModelChoiceField(
        queryset=Artifact.objects.none(), label=_("Model"), required=False, empty_label=_("none: score texts only")
    )
    other = forms.ModelChoiceField(
        queryset=Artifact.objects.none(),
        label=_("Beside it"),
        required=False,
        empty_label=_("no other model"),
        help_text=_("Both answer every message, side by side."),
    )
    reward_model = forms.ModelChoiceField(
        queryset=Artifact.objects.none(),
        label=_("Reward model"),
        required=False,
        empty_label=_("none"),
        help_text=_("Scores any text, and what there is of it after each sentence."),
    )
    blind = forms.BooleanField(
        label=_("Blind"),
        required=False,
        help_text=_("Which of the two stands left is drawn, and told when you ask for it."),
    )
    anyway = forms.BooleanField(
        label=_("Start anyway"), required=False, help_text=_("The worker has more memory than this machine.")
    )

    def __init__(self, project: Project, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        policies = policies_of(project)
        self.fields["model"].queryset = self.fields["other"].queryset = policies
        self.fields["reward_model"].queryset = reward_models_of(project)
        if not {"model", "reward_model"} & set(self.initial):
            self.fields["model"].initial = policies.first()
        for setting in fields(PlaygroundConfig):
            self.fields[setting.name] = form_field(setting, int)

    @property
    def chosen(self) -> list[forms.BoundField]:
        """Whether it is to start anyway is asked once it has been refused."""
        left_out = () if self["anyway"].errors or self["anyway"].value() else ("anyway",)
        return [field for field in self.inputs if field.name not in left_out]

    @property
    def asked(self) -> dict[str, Any]:
        """What the verb takes."""
        given = self.cleaned_data
        models = [given[name] for name in ("model", "other") if given.get(name)]
        more = {name: given[name] for name in ("reward_model", "blind", "anyway")}
        return {"models": models, "config": {"idle_minutes": given["idle_minutes"]}, **more, **self.waits_as}


class TalkForm(forms.Form):
    """A message with the settings under which it is answered. What was not sent stands at its default."""

    text = forms.CharField(
        label=_("Message"), required=False, strip=False, max_length=LONGEST, widget=forms.Textarea(attrs={"rows": 3})
    )
    # The last message in other words; sent by its own button.
    edited = forms.CharField(required=False, strip=False, max_length=LONGEST)
    system = forms.CharField(
        label=_("System prompt"),
        required=False,
        strip=False,
        max_length=LONGEST,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Stands before the conversation; empty for none. Some models take none."),
    )
    goes_on_from = forms.ChoiceField(
        label=_("The conversation goes on"),
        required=False,
        choices=[
            (EACH, _("for each model from its own answer")),
            (LEFT, _("for both from the left answer")),
            (RIGHT, _("for both from the right answer")),
        ],
        help_text=_("Only what both were asked in the same words can be sent to the queue."),
    )
    begins = forms.BooleanField(label=_("Begin a new conversation"), required=False)
    seed = forms.IntegerField(
        label=_("Seed"),
        required=False,
        min_value=0,
        max_value=LARGEST_SEED,
        help_text=_("Empty: drawn anew for every message, and told beside the answer."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        hints = types_of(TalkConfig)
        for setting in fields(TalkConfig):
            field = form_field(setting, hints[setting.name])
            field.required = False
            self.fields[setting.name] = field

    @property
    def settings(self) -> dict[str, Any]:
        given = {setting.name: self.cleaned_data.get(setting.name) for setting in fields(TalkConfig)}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def more(self) -> list[forms.BoundField]:
        names = [setting.name for setting in fields(TalkConfig)]
        return [self[name] for name in ("system", *names, "seed")]


class ScoreForm(forms.Form):
    prompt = forms.CharField(
        label=_("Prompt"), required=False, strip=False, max_length=LONGEST, widget=forms.Textarea(attrs={"rows": 2})
    )
    response = forms.CharField(
        label=_("Response"), required=False, strip=False, max_length=LONGEST, widget=forms.Textarea(attrs={"rows": 4})
    )
