"""Of what is noted beside figures, what takes their worth stands above them."""

import pytest
from django.test import Client
from django.urls import reverse

from annotate.models import Project
from tests.training.workflow.products import finished
from training.models import Artifact, Run
from training.workflow.evaluation import results_of
from training.workflow.notes import Note, notes_on_product, notes_on_samples

TOO_LONG = "too long: %(tokens)s tokens, at most %(most)s are allowed"


def _dropped(number: int) -> list[dict]:
    values = {"tokens": 901, "most": 900}
    return [
        {"id": str(n), "why": TOO_LONG % values, "template": TOO_LONG, "values": values, "split": "train"}
        for n in range(number)
    ]


def _warned(notes: list[Note]) -> list[str]:
    return [note.text for note in notes if note.warns]


@pytest.mark.parametrize(("dropped", "warns"), [(11, False), (12, True)])
def test_more_than_a_tenth_left_out_is_a_warning_with_the_cause(dropped: int, warns: bool) -> None:
    notes = notes_on_product({"recipe": "reward", "data": {"train": 80, "test": 20, "dropped": _dropped(dropped)}})
    said = f"{dropped} of {100 + dropped} pairs ({10 if dropped == 11 else 11} %) left out: longer than 900 tokens."
    assert said in [note.text for note in notes] and _warned(notes) == [said] * warns


@pytest.mark.parametrize(
    ("test", "prompts", "warning"),
    [
        (20, 20, ""),
        (40, 20, ""),
        (19, 19, "Only 19 prompts are held out"),
        (40, 19, "of only 19 prompts: the figures tell little"),
        (40, 1, "of only 1 prompt: intervals say nothing"),
        (4, 4, ""),
    ],
)
def test_few_held_out_prompts_are_a_warning(test: int, prompts: int, warning: str) -> None:
    warned = _warned(
        notes_on_product({"recipe": "reward", "data": {"train": 9, "test": test, "test_prompts": prompts}})
    )
    assert [warning in one for one in warned] == [True] * bool(warning)


@pytest.mark.parametrize(("recipe", "examples"), [("sft", "demonstrations"), ("kto", "responses"), ("dpo", "pairs")])
def test_the_warning_is_of_what_the_recipe_is_measured_on(recipe: str, examples: str) -> None:
    def said(prompts: int) -> list[Note]:
        return notes_on_product({"recipe": recipe, "data": {"train": 9, "test": 90, "test_prompts": prompts}})[1:]

    for prompts, words in ((3, "only 3 prompts: intervals say nothing"), (7, "only 7 prompts: the figures tell")):
        [note] = said(prompts)
        assert note.warns and note.text.startswith(f"The held-out {examples} are of {words}")
    [note] = said(30)
    assert not note.warns and note.text.startswith(f"The held-out {examples} are of 30 prompts: intervals allow")


def test_responses_of_which_most_are_cut_are_a_warning() -> None:
    run = Run(recipe="sample", result={"samples": 4, "finished": 2, "comparisons": 1})
    assert [note.text for note in notes_on_samples(run)] == [
        "4 responses written, 1 comparison made.",
        "2 responses (50 %) were cut at the maximum length.",
    ]
    assert _warned(notes_on_samples(run)) == []
    run.result["finished"] = 1
    assert _warned(notes_on_samples(run)) == ["3 responses (75 %) were cut at the maximum length."]
    manifest = {"recipe": "grpo", "data": {"train": 30, "test": 30}, "metrics": {"eos_rate_after": {"value": 0.4}}}
    assert _warned(notes_on_product(manifest)) == [
        "60 % of the policy's responses to held-out prompts were cut at the maximum length."
    ]


@pytest.mark.django_db
def test_a_warning_stands_above_the_figures_and_a_note_below(
    client: Client, project: Project, policy: Artifact
) -> None:
    accuracy = {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 40}}
    data = {"train": 196, "test": 40, "dropped": _dropped(213), "truncated": 0}
    run = finished(project, policy, data=data, metrics=accuracy).run
    assert results_of(run).notes[0].startswith("Trained on")
    client.force_login(project.memberships.get().user)
    page = client.get(reverse("run", args=[project.slug, run.pk])).content.decode()
    warning = page.index("213 of 449 pairs (47 %) left out: longer than 900 tokens.")
    assert warning < page.index('id="results"') < page.index("Trained on")
    assert 'class="notice warn"' in page[:warning]


@pytest.mark.django_db
def test_where_figures_are_missing_for_what_was_left_out_that_is_said(
    client: Client, project: Project, policy: Artifact
) -> None:
    few = {"accuracy": {"value": None, "low": None, "high": None, "n": 2}}
    client.force_login(project.memberships.get().user)
    for dropped, said, other in ((190, "longer maximum length", "Judge more"), (0, "Judge more", "longer maximum")):
        data = {"train": 198, "test": 2, "dropped": _dropped(dropped)}
        made = finished(project, policy, name=f"without {dropped}", data=data, metrics=few)
        for page in (reverse("run", args=[project.slug, made.run_id]), reverse("model", args=[project.slug, made.pk])):
            html = client.get(page).content.decode()
            assert said in html and other not in html
