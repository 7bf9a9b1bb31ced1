"""A recipe's settings as a form: each field from the dataclass, its words and limits from the metadata."""

import json
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from django import forms
from django.utils.html import format_html
from django.utils.translation import gettext, gettext_noop

from annotate.lists import labelled, listed
from training.recipes import RECIPES, RecipeError, load
from training.recipes.adapters import customary_rate
from training.recipes.decimals import plain
from training.recipes.fields import conditions, counts, types_of
from training.recipes.titles import CHOICES
from training.workflow.told import in_readers_language

# What somebody who starts a run for the first time should see, after the adapter; the rest waits in "More settings".
FIRST_SETTINGS = {
    "adapter", "epochs", "learning_rate", "head_epochs", "head_learning_rate", "beta", "batch_size", "max_length",
    "samples_per_prompt", "pairs", "temperature", "top_p", "max_new_tokens",
    "folder", "form", "dtype", "repository", "private",
}  # fmt: skip
# Where the choices have names of their own, a recipe's help need not explain its short ones.
HELP = {
    "adapter": gettext_noop(
        "What is trained. LoRA, thin matrices beside every layer, is a good choice to begin with; full fine-tuning can "
        "learn the most, and takes the most memory and disk."
    )
}


def form_field(setting: Field, hint: Any) -> forms.Field:
    """The form field of one setting: its type from the annotation, label, help and limits from the metadata."""
    kinds = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    about = setting.metadata
    said = HELP.get(setting.name) or about.get("help")
    options: dict[str, Any] = {
        "label": gettext(about.get("label", setting.name)),
        "help_text": gettext(said) if said else "",
        "required": type(None) not in kinds,
    }
    if setting.default is not MISSING:
        options["initial"] = setting.default
    if about.get("choices"):
        labels = [(choice, choice_label(setting.name, choice)) for choice in about["choices"]]
        return forms.TypedChoiceField(choices=labels, coerce=kinds[0], **options)
    if bool in kinds:
        return forms.BooleanField(**{**options, "required": False})
    if str in kinds:
        return forms.CharField(empty_value=None if type(None) in kinds else "", **{**options, "required": False})
    limits = {"min_value": about.get("min"), "max_value": about.get("max")}
    if float in kinds:
        return forms.FloatField(widget=forms.NumberInput(attrs={"step": "any"}), **limits, **options)
    return forms.IntegerField(**limits, **options)


def choice_label(name: str, choice: Any) -> str:
    """What a choice of a setting is called; as it is written where it has no words."""
    if isinstance(choice, bool):
        return gettext("yes") if choice else gettext("no")
    return gettext(CHOICES.get(name, {}).get(choice) or str(choice))


class RecipeForm(forms.Form):
    """The settings of one recipe; `config` holds them after `is_valid()`.

    A setting that does not count (another adapter than its own was chosen) is hidden and not sent by the page's
    script; without the script it is shown, says for what it is, and whatever stands in it is let be.
    """

    def __init__(
        self,
        recipe: str,
        data: Mapping[str, Any] | None = None,
        *args: Any,
        without: Collection[str] = (),
        **kwargs: Any,
    ) -> None:
        """`without`: settings that are settled by where the form stands."""
        super().__init__(data, *args, prefix=kwargs.pop("prefix", recipe), **kwargs)
        self.recipe = recipe
        asked = [setting for setting in fields(RECIPES[recipe]) if _can_count(setting) and setting.name not in without]
        self.settings = {setting.name: setting for setting in asked}
        hints = types_of(RECIPES[recipe])
        for setting in self.settings.values():
            self.fields[setting.name] = form_field(setting, hints[setting.name])
        for setting in self.settings.values():
            self._say_when_it_counts(setting)
        if data is not None:
            self.data = self._completed(data) if self.was_sent else data
        if "of_lora" in getattr(self.settings.get("learning_rate"), "metadata", {}):
            self._say_what_is_customary(self.fields["learning_rate"], self.settings["learning_rate"])

    @property
    def first(self) -> list[forms.BoundField]:
        found = [field for field in self if field.name in FIRST_SETTINGS]
        return sorted(found, key=lambda field: field.name != "adapter")

    @property
    def more(self) -> list[forms.BoundField]:
        return [field for field in self if field.name not in FIRST_SETTINGS]

    @property
    def more_has_errors(self) -> bool:
        return any(field.errors for field in self.more)

    @property
    def was_sent(self) -> bool:
        """Of a stage or method that is not chosen the page sends nothing."""
        return any(name.startswith(f"{self.prefix}-") for name in self.data)

    @property
    def entered(self) -> dict[str, Any]:
        """What was sent, as it was sent: to show it again without checking it."""
        if not self.was_sent:
            return {}
        return {field.name: field.value() for field in self}

    def clean(self) -> dict[str, Any]:
        """The recipe itself has the last word: what it refuses, the form refuses with its message."""
        self._let_be_what_does_not_count()
        if self.errors:
            return self.cleaned_data
        try:
            load(self.recipe, self.cleaned_data)
        except RecipeError as error:
            said = in_readers_language(error.message, error.template, error.values)
            self.add_error(error.field if error.field in self.fields else None, said)
        return self.cleaned_data

    @property
    def config(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in self.fields}

    def _say_when_it_counts(self, setting: Field) -> None:
        """For the script, by the names that stand in the page; for people, in the help."""
        wanted = conditions(setting)
        if not wanted:
            return
        field = self.fields[setting.name]
        names = {self.add_prefix(name): [_written(value) for value in values] for name, values in wanted.items()}
        field.widget.attrs["data-counts-if"] = json.dumps(names)
        said = "; ".join(self._in_words(name, values) for name, values in wanted.items())
        about = gettext("Counts only with %(what)s.") % {"what": said}
        field.help_text = format_html('{} <span class="counts-if">{}</span>', field.help_text, about)

    def _say_what_is_customary(self, field: forms.Field, setting: Field) -> None:
        """The number that an empty field stands for shows in it, and the page's script keeps up with the adapter;
        without it the help tells all of them."""
        methods = [name for name, _title in self.fields["adapter"].choices if counts(setting, {"adapter": name})]
        rates = {name: shown(customary_rate(setting.metadata["of_lora"], name)) for name in methods}
        field.widget.attrs["placeholder"] = rates.get(self["adapter"].value(), "")
        field.widget.attrs["data-customary"] = json.dumps({self.add_prefix("adapter"): rates})
        customary = gettext("Customary: %(rates)s.") % {
            "rates": listed(f"{choice_label('adapter', name)} {rate}" for name, rate in rates.items())
        }
        field.help_text = format_html('{} <span class="counts-if">{}</span>', field.help_text, customary)

    def _in_words(self, name: str, values: tuple[Any, ...]) -> str:
        """E.g. "LoRA, QLoRA", or "Loss: robust"; only the adapter needs no name."""
        choices = listed(choice_label(name, value) for value in values)
        return choices if name == "adapter" else labelled(self.fields[name].label, choices)

    def _completed(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """What does not count and was not sent stands at its default, also when the page is shown again."""
        complete = data.copy()
        given = self._given(data)
        for name, setting in self.settings.items():
            key, start = self.add_prefix(name), self.get_initial_for_field(self.fields[name], name)
            if key not in data and not counts(setting, given) and start is not None and start is not False:
                complete[key] = "on" if start is True else str(start)
        return complete

    def _let_be_what_does_not_count(self) -> None:
        given = self._given(self.data)
        for name, setting in self.settings.items():
            if not counts(setting, given):
                self.errors.pop(name, None)
                self.cleaned_data[name] = setting.default

    def _given(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The settings that others depend on, as they were sent."""
        named = {name for setting in self.settings.values() for name in conditions(setting)}
        return {name: self._value(name, data) for name in named}

    def _value(self, name: str, data: Mapping[str, Any]) -> Any:
        raw = self.fields[name].widget.value_from_datadict(data, {}, self.add_prefix(name))
        try:
            return self.fields[name].to_python(raw)
        except forms.ValidationError:
            return None


def shown(rate: float) -> str:
    """As an input of numbers takes it, in whatever language the page is."""
    return plain(f"{rate:g}")


def _can_count(setting: Field) -> bool:
    """A setting that a recipe has fixed (it counts with no adapter at all) is no question to anybody."""
    return all(conditions(setting).values())


def _written(value: Any) -> str:
    """As the page's script reads a field."""
    return str(value).lower() if isinstance(value, bool) else str(value)
