"""Registers a base model, or a reward model from elsewhere."""

from django import forms
from django.utils.translation import gettext_lazy as _


class RegisterModelForm(forms.Form):
    """A model by its place; whether it can be used is checked by the verb."""

    name = forms.CharField(label=_("Name"), max_length=120)
    location = forms.CharField(
        label=_("Location"),
        max_length=1000,
        help_text=_("A folder of safetensors or a GGUF file on the worker's disk, or a hub id such as owner/name."),
    )
    encoder = forms.BooleanField(
        label=_("It is an encoder (BERT and its kin)"),
        required=False,
        help_text=_("For hub ids only; a folder tells. An encoder reads texts, and reward models are trained on it."),
    )
    reward = forms.BooleanField(
        label=_("It is a reward model"),
        required=False,
        help_text=_(
            "For hub ids only; a folder tells. A classifier with one label, such as others have trained: it scores "
            "responses, and policies are trained with it."
        ),
    )
