"""Forms of the left wing: they validate, and hand clean values to the verbs."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from annotate.models import Aggregation, BadReason, Degree, Project, Role, SkipReason, User
from annotate.workflow.comparison_records import IMPORTED
from annotate.workflow.comparison_records import LONGEST_NAME as LONGEST_ANNOTATOR
from annotate.workflow.demonstrations import LONGEST_NAME

LARGEST_UPLOAD = 50 * 1024 * 1024
LONGEST_NOTE = 5_000
LARGEST_SEED = 2**32 - 1
SIDES = [("left", _("Left is better")), ("tie", _("Tie")), ("right", _("Right is better"))]
# A button has one value, so that it works without JavaScript: "left-3" is a side with its degree.
GRADED = [(f"{side}-{degree}", degree.label) for side in ("left", "right") for degree in Degree]


class JudgmentForm(forms.Form):
    """What the judging page sends; `side` is in the screen's terms, with its degree where the card asks for one."""

    assignment = forms.IntegerField(min_value=1)
    side = forms.ChoiceField(choices=[*SIDES, *GRADED])
    client_key = forms.UUIDField()
    note = forms.CharField(required=False, max_length=LONGEST_NOTE)
    seconds = forms.FloatField(required=False, min_value=0, max_value=7 * 24 * 3600)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        side, _dash, degree = cleaned.get("side", "").partition("-")
        return {**cleaned, "side": side, "degree": int(degree) if degree else None}


class SkipForm(forms.Form):
    assignment = forms.IntegerField(min_value=1, widget=forms.HiddenInput)
    reason = forms.ChoiceField(choices=SkipReason, widget=forms.RadioSelect, label=_("Why?"))
    note = forms.CharField(
        required=False, max_length=LONGEST_NOTE, label=_("Note"), widget=forms.Textarea(attrs={"rows": 2})
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("reason") == SkipReason.OTHER and not cleaned.get("note", "").strip():
            self.add_error("note", _("Say in the note what the other reason is."))
        return cleaned


class UndoForm(forms.Form):
    """Which answer is meant."""

    assignment_id = forms.IntegerField(required=False, min_value=1)
    revision = forms.IntegerField(required=False, min_value=0)


class BadItemForm(forms.Form):
    """Why no answer fits a comparison."""

    reason = forms.ChoiceField(choices=BadReason, widget=forms.RadioSelect, label=_("Why?"))
    note = forms.CharField(
        required=False, max_length=LONGEST_NOTE, label=_("Note"), widget=forms.Textarea(attrs={"rows": 2})
    )


class AdjudicationForm(forms.Form):
    """What the adjudication page sends; `side` is in the screen's terms, or says that no side is right."""

    side = forms.ChoiceField(choices=[*SIDES, ("bad", _("Bad item")), ("withdrawn", _("Withdraw"))])
    client_key = forms.UUIDField()
    after = forms.IntegerField(min_value=0, max_value=2**31 - 1)
    votes_seen = forms.BooleanField(required=False)
    reason = forms.ChoiceField(choices=BadReason, required=False)
    note = forms.CharField(required=False, max_length=LONGEST_NOTE)


class ProjectForm(forms.ModelForm):
    """A new project."""

    class Meta:
        model = Project
        fields = ["name", "slug", "description", "overlap", "degrees"]
        widgets = {"description": forms.Textarea(attrs={"rows": 3})}

    def clean_slug(self) -> str:
        return self.cleaned_data["slug"].lower()


class ProjectSettingsForm(forms.ModelForm):
    class Meta:
        model = Project
        fields = ["name", "description", "overlap", "lease_minutes", "degrees"]
        widgets = {"description": forms.Textarea(attrs={"rows": 3})}


class MemberForm(forms.Form):
    username = forms.CharField(label=_("User name"), max_length=150)
    role = forms.ChoiceField(label=_("Role"), choices=Role, initial=Role.ANNOTATOR)

    def clean_username(self) -> User:
        user = User.objects.filter(username=self.cleaned_data["username"].strip(), is_active=True).first()
        if user is None:
            raise ValidationError(
                gettext("There is no account “%(name)s”. An administrator makes accounts under “Accounts (admin)”.")
                % {"name": self.cleaned_data["username"]}
            )
        return user


class RoleForm(forms.Form):
    role = forms.ChoiceField(choices=Role)


class DraftForm(forms.Form):
    """The draft of the guideline, and for publishing a summary."""

    body = forms.CharField(
        label=_("Guideline"), strip=False, required=False, max_length=100_000,
        widget=forms.Textarea(attrs={"rows": 24, "class": "mono", "spellcheck": "true"}),
        help_text=_("Markdown: # heading, **bold**, - list, > quotation."),
    )  # fmt: skip
    summary = forms.CharField(
        label=_("What changed"), required=False, max_length=2_000, widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("Needed for publishing, from version 2 on. Annotators read it before their next comparison."),
    )  # fmt: skip


class UploadForm(forms.Form):
    file = forms.FileField(
        label=_("File"),
        widget=forms.FileInput(attrs={"accept": ".jsonl,.csv,.json,.txt"}),
        help_text=_("JSONL or CSV, UTF-8, at most 50 MB."),
    )

    def clean_file(self) -> tuple[str, str]:
        """The text, and whether it is csv or jsonl."""
        file = self.cleaned_data["file"]
        if file.size > LARGEST_UPLOAD:
            raise ValidationError(gettext("The file is larger than 50 MB: upload it in parts."))
        try:
            text = file.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValidationError(
                gettext("The file is not UTF-8 (byte %(at)s): save it with the encoding UTF-8.") % {"at": error.start}
            ) from error
        return text, "csv" if file.name.lower().endswith(".csv") else "jsonl"


class ComparisonsForm(forms.Form):
    """A file of comparisons, as it is: it is read as a stream."""

    file = forms.FileField(
        label=_("File"),
        widget=forms.FileInput(attrs={"accept": ".jsonl,.json,.csv,.gz,.parquet"}),
        help_text=_("JSONL, CSV (both also gzipped) or Parquet, at most 50 MB."),
    )
    annotator = forms.CharField(
        label=_("Annotator of preferences"), max_length=LONGEST_ANNOTATOR, required=False,
        widget=forms.TextInput(attrs={"placeholder": IMPORTED}),
        help_text=_("Who preferred what lines with “chosen” and “rejected” say; other lines name their annotators."),
    )  # fmt: skip

    def clean_annotator(self) -> str:
        return self.cleaned_data["annotator"] or IMPORTED

    def clean_file(self) -> UploadedFile:
        file = self.cleaned_data["file"]
        if file.size > LARGEST_UPLOAD:
            raise ValidationError(
                gettext("The file is larger than 50 MB: upload it in parts, or use the command “import_comparisons”.")
            )
        return file


class UploadSetForm(UploadForm):
    """A new set of demonstrations or of feedback."""

    name = forms.CharField(
        label=_("Name"), max_length=LONGEST_NAME, help_text=_("What the set shows, or where it comes from.")
    )
    test_share = forms.FloatField(
        label=_("Share for the test split"), min_value=0, max_value=0.9, initial=0.2,
        widget=forms.NumberInput(attrs={"step": "0.05"}),
        help_text=_("Between 0 and 0.9, split by prompt: no prompt is on both sides."),
    )  # fmt: skip
    field_order = ("name", "file", "test_share")


class FreezeForm(forms.Form):
    aggregation = forms.ChoiceField(label=_("Aggregation"), choices=Aggregation, initial=Aggregation.MAJORITY)
    adjudicated_first = forms.TypedChoiceField(
        label=_("Adjudicated comparisons"), initial="", required=False, coerce=bool, empty_value=False,
        choices=[("", _("By the votes, like the others")), ("1", _("By the final word; bad items are left out"))],
        help_text=_("A final word is certain; what has none follows the aggregation."),
    )  # fmt: skip
    test_share = forms.FloatField(
        label=_("Share for the test split"), min_value=0, max_value=0.9, initial=0.2,
        widget=forms.NumberInput(attrs={"step": "0.05"}),
        help_text=_("Between 0 and 0.9, split by prompt: no prompt is on both sides."),
    )  # fmt: skip
    seed = forms.IntegerField(
        label=_("Seed of the split"), min_value=0, max_value=LARGEST_SEED, initial=0,
        help_text=_("The same seed puts the same prompts on the same side, in every snapshot."),
    )  # fmt: skip
    annotator_share = forms.FloatField(
        label=_("Share of annotators held out"), min_value=0, max_value=0.5, initial=0, required=False,
        widget=forms.NumberInput(attrs={"step": "0.05"}),
        help_text=_(
            "Between 0 and 0.5, drawn by the seed. No vote of theirs is trained on; a reward model is measured on what "
            "they said of the test prompts: has it learned what people prefer, or what these people prefer? 0: nobody."
        ),
    )  # fmt: skip

    def clean_annotator_share(self) -> float:
        return self.cleaned_data["annotator_share"] or 0
