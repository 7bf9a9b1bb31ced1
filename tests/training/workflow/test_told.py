"""What a run tells of itself is stored once and said in each reader's language, now and after a switch of it."""

import json
from pathlib import Path

import pytest
from django.utils import translation

from annotate.models import Project
from training import recipes
from training.models import Run, RunState
from training.workflow import outcomes, refusals, runs
from training.workflow.exceptions import BadConfig
from training.workflow.told import in_readers_language, told

GERMAN = {
    "Model %(path)s is gone.": "Modell %(path)s ist weg.",
    "Look for it.": "Suche es.",
    "Taken by %(worker)s.": "Genommen von %(worker)s.",
    "Resumed.": "Fortgesetzt.",
    "This must be a whole number, not %(value)s.": "Das muss eine ganze Zahl sein, nicht %(value)s.",
    "broken %(nothing)s": "kaputt %(nothing)s",
}


@pytest.fixture
def in_german(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue of a few sentences in place of the translations, which are written elsewhere."""

    def translated(text: str) -> str:
        return GERMAN.get(text, text)

    for place in ("training.workflow.told.gettext", "training.workflow.runs._"):
        monkeypatch.setattr(place, translated)


@pytest.fixture
def run(project: Project) -> Run:
    return runs.create_run(project, "sample", {}, "one")


def _write(folder: Path, **error: object) -> outcomes.Outcome:
    (folder / "error.json").write_text(json.dumps(error))
    return outcomes.outcome_of(folder, "dpo", outcomes.KNOWN_FAILURE)


def _fail(run: Run, outcome: outcomes.Outcome) -> None:
    runs.claim(run, "here:gpu0", "w:1")
    runs.finish(run, outcome.state, outcome.reason, outcome.hint, outcome.failure)
    run.refresh_from_db()


def _gone(folder: Path) -> outcomes.Outcome:
    return _write(
        folder,
        code="model_missing",
        message="Model /m is gone.",
        hint="Look for it.",
        template="Model %(path)s is gone.",
        hint_template="Look for it.",
        values={"path": "/m"},
    )


@pytest.mark.django_db
def test_the_words_of_the_process_are_kept_in_english_with_what_a_translator_needs(run: Run, tmp_path: Path) -> None:
    _fail(run, _gone(tmp_path))
    assert (run.reason, run.hint) == ("Model /m is gone.", "Look for it.")
    assert run.failure["code"] == "model_missing"
    assert (runs.reason_of(run), runs.hint_of(run)) == ("Model /m is gone.", "Look for it.")


@pytest.mark.django_db
def test_each_reader_is_told_in_their_language_also_what_was_stored_before(
    run: Run, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    _fail(run, _gone(tmp_path))
    runs.resume(run)
    gone = _gone(tmp_path)
    failed = Run(reason=gone.reason, hint=gone.hint, failure=gone.failure)
    request.getfixturevalue("in_german")
    assert (runs.reason_of(failed), runs.hint_of(failed)) == ("Modell /m ist weg.", "Suche es.")
    details = [runs.detail_of(event) for event in run.events.all()]
    assert details == ["", "Genommen von w:1.", "Modell /m ist weg.", "Fortgesetzt."]


@pytest.mark.django_db
def test_a_resumed_run_keeps_nothing_of_its_failure(run: Run, tmp_path: Path) -> None:
    _fail(run, _gone(tmp_path))
    runs.resume(run)
    assert (run.reason, run.hint, run.failure) == ("", "", {})


def test_without_values_the_sentence_itself_is_looked_up(in_german: None) -> None:
    assert in_readers_language("Look for it.") == "Suche es."
    assert in_readers_language("") == ""


def test_a_template_that_does_not_fit_its_values_falls_back_to_the_stored_words(in_german: None) -> None:
    assert in_readers_language("as it was", "broken %(nothing)s", {"something": 1}) == "as it was"


def test_a_percent_sign_in_words_without_values_is_no_placeholder(tmp_path: Path, in_german: None) -> None:
    outcome = _write(tmp_path, message="100 % full", hint="", template="", hint_template="", values={})
    assert in_readers_language(outcome.reason, outcome.failure.get("template", "")) == "100 % full"


@pytest.mark.django_db
def test_a_loss_that_is_no_number_can_be_told_of(run: Run, tmp_path: Path) -> None:
    said = {"message": "It became nan.", "template": "It became %(value)s.", "values": {"value": float("nan")}}
    _fail(run, _write(tmp_path, **said))
    assert runs.reason_of(Run.objects.get()) == "It became nan."


@pytest.mark.parametrize("damage", ['{"message": ', '["message"]', '{"hint": "x"}', '"message"'])
def test_an_error_file_that_is_no_error_becomes_the_exit_code(tmp_path: Path, damage: str) -> None:
    (tmp_path / "error.json").write_text(damage)
    outcome = outcomes.outcome_of(tmp_path, "dpo", outcomes.KNOWN_FAILURE)
    assert outcome.state == RunState.FAILED and "exit code 2" in outcome.reason


def test_a_killed_process_is_told_in_a_template_with_its_signal(tmp_path: Path) -> None:
    outcome = outcomes.outcome_of(tmp_path, "dpo", -9)
    assert "signal 9 (SIGKILL). Out of memory?" in outcome.reason
    assert outcome.failure["values"] == {"number": 9, "name": "SIGKILL"}
    assert outcome.failure["template"] % outcome.failure["values"] == outcome.reason


def test_a_setting_that_is_refused_is_told_in_the_readers_language(in_german: None) -> None:
    with pytest.raises(BadConfig, match=r"dpo\.epochs: Das muss eine ganze Zahl sein, nicht 'x'"):
        refusals.checked_config("dpo", {"epochs": "x"})


@pytest.mark.parametrize("recipe", sorted(recipes.RECIPES))
def test_every_setting_refuses_nonsense_with_words_that_its_values_fill(recipe: str) -> None:
    for name in recipes.load(recipe, {}).__dataclass_fields__:
        with pytest.raises(recipes.RecipeError) as refused:
            recipes.load(recipe, {name: ["nonsense"]})
        assert refused.value.template % refused.value.values == refused.value.message


def test_words_are_stored_in_english_whatever_language_is_spoken() -> None:
    with translation.override("zh-hans"):
        assert str(told("Taken by %(worker)s.", worker="w")) == "Taken by w."
