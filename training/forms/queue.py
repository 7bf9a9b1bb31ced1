"""Asks how a run waits: whose turn it is, and on which device."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from training.models import DeviceWish, Priority

NAMES = ("priority", "device")


class QueueForm(forms.Form):
    """Part of every form that starts a run; what is not sent is as usual."""

    priority = forms.TypedChoiceField(
        label=_("Priority"),
        choices=Priority.choices,
        coerce=int,
        initial=Priority.NORMAL,
        empty_value=Priority.NORMAL,
        required=False,
        help_text=_("Of the runs that wait for a device the highest is taken first, and of equals the oldest."),
    )
    device = forms.ChoiceField(
        label=_("Device"),
        choices=DeviceWish.choices,
        initial=DeviceWish.ANY,
        required=False,
        help_text=_("A run that wants a GPU waits until a worker with one is free."),
    )

    def clean_device(self) -> str:
        return self.cleaned_data["device"] or DeviceWish.ANY

    @property
    def inputs(self) -> list[forms.BoundField]:
        return [field for field in self if field.name not in NAMES]

    @property
    def queueing(self) -> list[forms.BoundField]:
        return [self[name] for name in NAMES]

    @property
    def waits_as(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in NAMES}
