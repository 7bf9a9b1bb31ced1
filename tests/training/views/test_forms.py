"""Forms made from the recipes' dataclasses."""

import dataclasses
import json
from dataclasses import dataclass, fields
from typing import Any

import pytest

from annotate.models import Project, Snapshot
from training.forms import BenchForm, RecipeForm, RunForm
from training.models import Artifact
from training.recipes import RECIPES, load
from training.recipes.adapters import METHODS
from training.recipes.fields import counts
from training.recipes.reward import METHODS as OF_REWARD_MODELS
from training.recipes.titles import ADAPTERS, TITLES, WHEN
from training.recipes.titles import METHODS as NAMES
from training.workflow.starting import POLICIES, TRAINED, start_training


def sent_back(recipe: str, **changed: Any) -> dict[str, Any]:
    """The form as it comes, with some settings changed; None takes one out."""
    values = {bound.html_name: bound.value() for bound in RecipeForm(recipe)}
    values |= {f"{recipe}-{name}": value for name, value in changed.items()}
    return {name: value for name, value in values.items() if value is not None and value is not False}


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_a_form_sent_back_as_it_came_gives_the_recipes_own_defaults(recipe: str) -> None:
    fresh = RecipeForm(recipe)
    sent = {
        field.html_name: field.value() for field in fresh if field.value() is not None and field.value() is not False
    }
    form = RecipeForm(recipe, sent)
    assert form.is_valid(), form.errors
    assert load(recipe, form.config) == load(recipe, {})


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_every_setting_has_a_label_and_a_help_text_and_stands_in_one_place(recipe: str) -> None:
    form = RecipeForm(recipe)
    names = [field.name for field in form.first] + [field.name for field in form.more]
    assert sorted(names) == sorted(field.name for field in fields(RECIPES[recipe]) if field.metadata.get("only") != ())
    for field in form:
        assert field.label and field.help_text, field.name


def test_what_only_the_recipe_knows_to_be_wrong_is_said_at_its_field() -> None:
    sent = {field.html_name: field.value() for field in RecipeForm("reward")}
    form = RecipeForm("reward", {**sent, "reward-learning_rate": "inf"})
    assert not form.is_valid()
    assert "learning_rate" in form.errors


@pytest.mark.parametrize("recipe", TRAINED)
def test_the_adapter_stands_first(recipe: str) -> None:
    assert RecipeForm(recipe).first[0].name == "adapter"


def test_every_adapter_method_and_recipe_has_a_name_for_people() -> None:
    assert set(ADAPTERS) == set(OF_REWARD_MODELS)
    labels = [label for _value, label in RecipeForm("reward").fields["adapter"].choices]
    assert labels == [ADAPTERS[method] for method in OF_REWARD_MODELS]
    assert [label for _value, label in RecipeForm("dpo").fields["adapter"].choices] == [ADAPTERS[m] for m in METHODS]
    assert set(TITLES) == set(RECIPES)
    assert set(WHEN) == set(TRAINED) and set(NAMES) == set(POLICIES)


@pytest.mark.parametrize("adapter", METHODS)
@pytest.mark.parametrize("recipe", TRAINED)
def test_every_adapter_of_every_recipe_can_be_chosen_with_its_own_settings_alone(recipe: str, adapter: str) -> None:
    """As the page's script sends it: settings of other adapters are not sent."""
    sent = sent_back(recipe, adapter=adapter)
    given = dataclasses.asdict(load(recipe, {"adapter": adapter}))
    for setting in fields(RECIPES[recipe]):
        if not counts(setting, given):
            sent.pop(f"{recipe}-{setting.name}", None)
    form = RecipeForm(recipe, sent)
    assert form.is_valid(), form.errors
    assert load(recipe, form.config) == load(recipe, {"adapter": adapter})


def test_what_does_not_count_is_let_be_whatever_stands_in_it() -> None:
    """As a page without its script sends it."""
    form = RecipeForm("dpo", sent_back("dpo", adapter="prefix", rank="many", targets="!", virtual_tokens="7"))
    assert form.is_valid(), form.errors
    assert (form.config["rank"], form.config["targets"], form.config["virtual_tokens"]) == (16, "auto", 7)
    assert "rank" in RecipeForm("dpo", sent_back("dpo", adapter="lora", rank="many")).errors


def test_a_setting_that_was_not_sent_stands_at_its_default_when_the_page_is_shown_again() -> None:
    sent = sent_back("dpo", adapter="prefix", epochs="0")
    del sent["dpo-rank"]
    form = RecipeForm("dpo", sent)
    assert not form.is_valid()
    assert set(form.errors) == {"epochs"}
    assert 'value="16"' in str(form["rank"])


def test_the_page_is_told_with_what_a_setting_counts_and_so_is_the_reader() -> None:
    rank = RecipeForm("ppo")["rank"]
    assert json.loads(rank.field.widget.attrs["data-counts-if"]) == {"ppo-adapter": ["lora", "qlora"]}
    assert "Counts only with LoRA, QLoRA (in 4 bits)." in rank.field.help_text
    assert "data-counts-if" not in RecipeForm("ppo")["epochs"].field.widget.attrs


def test_an_empty_learning_rate_shows_the_number_that_it_stands_for_and_the_script_knows_all_of_them() -> None:
    form = RecipeForm("reward", sent_back("reward", adapter="full"))
    assert form.is_valid() and form.config["learning_rate"] is None
    attrs = form.fields["learning_rate"].widget.attrs
    assert attrs["placeholder"] == "0.00002"
    told = json.loads(attrs["data-customary"])["reward-adapter"]
    assert set(told) == set(METHODS)
    assert all(float(told[name]) == load("reward", {"adapter": name}).learning_rate for name in METHODS)
    assert RecipeForm("reward").fields["learning_rate"].widget.attrs["placeholder"] == "0.0002"
    assert RecipeForm("dpo", initial={"adapter": "ia3"}).fields["learning_rate"].widget.attrs["placeholder"] == "0.001"
    assert "Last layers only 0.00002" in form["learning_rate"].help_text, "without the script"
    given = RecipeForm("reward", sent_back("reward", adapter="full", learning_rate="0.001"))
    assert given.is_valid() and given.config["learning_rate"] == 0.001
    assert "data-customary" not in RecipeForm("sample")["temperature"].field.widget.attrs


def test_a_setting_that_a_recipe_has_fixed_is_not_asked_for() -> None:
    assert "dropout" in RecipeForm("dpo").fields
    assert "dropout" not in RecipeForm("ppo").fields


@dataclass(frozen=True)
class Switched:
    """A recipe whose settings hang on each other."""

    kind: str = dataclasses.field(
        default="plain", metadata={"label": "Kind", "help": "x", "choices": ("plain", "fancy")}
    )
    careful: bool = dataclasses.field(default=False, metadata={"label": "Careful", "help": "x"})
    frills: int = dataclasses.field(
        default=3, metadata={"label": "Frills", "help": "x", "only_if": {"kind": ("fancy",), "careful": (True,)}}
    )


@pytest.mark.parametrize(
    ("sent", "frills"),
    [
        ({"s-kind": "fancy", "s-careful": "on", "s-frills": "5"}, 5),
        ({"s-kind": "plain", "s-careful": "on", "s-frills": "5"}, 3),
        ({"s-kind": "fancy", "s-frills": "none"}, 3),
    ],
)
def test_a_setting_may_hang_on_any_other(monkeypatch: pytest.MonkeyPatch, sent: dict[str, str], frills: int) -> None:
    monkeypatch.setitem(RECIPES, "s", Switched)
    form = RecipeForm("s", sent)
    assert form.is_valid(), form.errors
    assert form.config["frills"] == frills
    told = json.loads(form.fields["frills"].widget.attrs["data-counts-if"])
    assert told == {"s-kind": ["fancy"], "s-careful": ["true"]}
    assert "Kind: fancy; Careful: yes" in form.fields["frills"].help_text


def test_what_a_recipe_refuses_is_said_in_the_readers_language(monkeypatch: pytest.MonkeyPatch) -> None:
    german = {"Batch size times": "%(step)s ist kein Vielfaches von %(group)s"}
    monkeypatch.setattr("training.workflow.told.gettext", lambda text: german.get(text[:16], text))
    form = RecipeForm("grpo", sent_back("grpo", generations="5"))
    assert form.errors["generations"] == ["32 ist kein Vielfaches von 5"]


@pytest.mark.django_db
def test_a_reward_model_starts_from_a_base_model_and_a_policy_from_what_was_trained_last(
    project: Project, snapshot: Snapshot, policy: Artifact
) -> None:
    run = start_training(project, "dpo", snapshot, policy, {})
    facts = {"project": project, "location": "/t", "parent": policy, "run": run}
    trained = Artifact.objects.create(name="trained", manifest={"recipe": "dpo", "kind": "full"}, **facts)
    starts = {recipe: RunForm(project, recipe)["model"].initial for recipe in ("reward", "dpo")}
    assert starts == {"reward": policy, "dpo": trained} and BenchForm(project, "dpo")["model"].initial == policy
    groups = list(RunForm(project, "dpo").fields["model"].choices)
    assert [(title, [str(label) for _value, label in rows]) for title, rows in groups] == [
        ("Base models", [policy.name]),
        ("Trained models", ["trained"]),
    ]
    page = str(RunForm(project, "dpo")["model"])
    assert page.count("<optgroup") == 2 and f'value="{trained.pk}" selected' in page


@pytest.mark.django_db
def test_models_of_one_kind_stand_under_no_heading(project: Project, policy: Artifact) -> None:
    assert "<optgroup" not in str(RunForm(project, "dpo")["model"])
