"""Uploads a set of probes."""

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from training.workflow.probes import LONGEST_NAME

LARGEST_UPLOAD = 10 * 2**20


class ProbesForm(forms.Form):
    """A new set; its lines are checked by the verb."""

    name = forms.CharField(label=_("Name"), max_length=LONGEST_NAME, help_text=_("What it asks for."))
    file = forms.FileField(
        label=_("File"),
        widget=forms.FileInput(attrs={"accept": ".jsonl,.json,.txt"}),
        help_text=_("JSONL, UTF-8, at most 10 MB."),
    )

    def clean_file(self) -> str:
        file = self.cleaned_data["file"]
        if file.size > LARGEST_UPLOAD:
            raise ValidationError(gettext("The file is larger than 10 MB: upload a part of it."))
        try:
            return file.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValidationError(
                gettext("The file is not UTF-8 (byte %(at)s): save it with the encoding UTF-8.") % {"at": error.start}
            ) from error
