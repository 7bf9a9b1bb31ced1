"""What a run's page says of the policies of the DPO family and of SFT, in their own words."""

from typing import Any

import pytest

from annotate.models import Project, User
from training.models import Artifact, Run
from training.workflow.evaluation import figures_of, results_of

FIGURE = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 20}


def _results(project: Project, lead: User, recipe: str, **manifest: Any) -> Any:
    base = Artifact.objects.create(project=project, name="base", location="/nowhere")
    run = Run.objects.create(project=project, recipe=recipe, model=base, created_by=lead)
    Artifact.objects.create(project=project, name="product", run=run, manifest={"recipe": recipe, **manifest})
    return results_of(run)


@pytest.mark.parametrize(
    ("recipe", "names"),
    [
        ("sft", ["loss", "loss_before", "perplexity", "perplexity_before"]),
        ("kto", ["margin", "accuracy", "kl", "loss"]),
        ("orpo", ["margin", "margin_before", "accuracy", "accuracy_before"]),
        ("simpo", ["margin", "margin_before", "accuracy", "accuracy_before"]),
    ],
)
def test_each_recipe_shows_its_figures_in_the_order_they_are_read(recipe: str, names: list[str]) -> None:
    metrics = {name: FIGURE for name in sorted([*names, "token_accuracy"], reverse=True)}
    found = figures_of(Artifact(manifest={"recipe": recipe, "metrics": {**metrics, "samples": []}}))
    assert [figure.name for figure in found][:4] == names
    assert all(figure.is_share == ("accuracy" in figure.name) for figure in found)


def test_too_few_demonstrations_are_not_called_pairs() -> None:
    empty = {"value": None, "low": None, "high": None, "n": 2}
    (figure,) = figures_of(Artifact(manifest={"recipe": "sft", "metrics": {"loss": empty}}))
    assert figure.note == "Only 2 held-out demonstrations: too few to say anything."


@pytest.mark.django_db
def test_the_page_says_what_was_learned_from_and_what_was_left_out(project: Project, lead: User) -> None:
    data = {"train": 8, "test": 2, "dropped": [{"id": "a", "why": "the response is empty", "split": "train"}]}
    assert _results(project, lead, "sft", data=data).notes == [
        "Trained on 8 demonstrations, evaluated on 2.",
        "1 of 11 demonstrations (9 %) left out: the response is empty.",
    ]


@pytest.mark.django_db
def test_the_page_says_how_much_of_the_reference_was_reused_and_where_the_policy_began(
    project: Project, lead: User
) -> None:
    reference = {"computed": 3, "reused": 9, "moved_at_start": True}
    notes = _results(project, lead, "dpo", data={"train": 5, "test": 1}, reference=reference).notes
    assert "Reference log-probabilities: 3 computed, 9 reused from earlier runs." in notes
    assert any("did not start at its reference" in note for note in notes)
