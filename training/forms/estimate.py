"""Asks for which device an estimate is made; beside the form of a run, and not part of what is started."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from training.recipes.estimate import Machine
from training.workflow import device
from training.workflow.sizes import size

GIGABYTE = 10**9


class DeviceForm(forms.Form):
    """What was not sent stands at what this machine has."""

    device = forms.ChoiceField(label=_("Device"), required=False)
    memory = forms.FloatField(
        label=_("Its memory (GB)"),
        required=False,
        min_value=0.1,
        max_value=100_000,
        help_text=_("Empty: as found on this machine."),
        widget=forms.NumberInput(attrs={"step": "any"}),
    )

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(data, prefix="estimate")
        found = device.found()
        self.fields["device"].choices = [
            ("cpu", gettext("CPU (%(memory)s)") % {"memory": size(found.host)}),
            ("gpu", gettext("GPU (%(memory)s)") % {"memory": size(found.gpu)} if found.gpu else gettext("GPU")),
        ]
        self.fields["device"].initial = found.device

    def machine(self) -> Machine:
        entered = self.cleaned_data if self.is_valid() else {}
        memory = entered.get("memory")
        return device.machine(entered.get("device", ""), None if memory is None else int(memory * GIGABYTE))
