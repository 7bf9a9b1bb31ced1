"""Reading preference pairs: what is kept, what is dropped with which reason, and the files that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.training.planted import planted_rows, row, write_planted, write_rows
from training.ml.chat import encode
from training.ml.errors import ModelError
from training.ml.job import Data
from training.ml.pairs import load_pairs, read_pairs, require_pairs


@pytest.fixture(scope="module")
def tokenizer(fixture_model: Path) -> Any:
    return AutoTokenizer.from_pretrained(fixture_model)


def why(path: Path, tokenizer: Any, rows: list[dict[str, Any]], max_length: int = 512) -> list[tuple[str, str]]:
    dropped = read_pairs(write_rows(path / "train.parquet", rows), tokenizer, max_length).dropped
    assert {entry["split"] for entry in dropped} <= {"train"}
    return [(entry["id"], entry["why"]) for entry in dropped]


def test_a_pair_has_the_tokens_that_scoring_would_give_it(tmp_path: Path, tokenizer: Any) -> None:
    rows = planted_rows(3)
    kept = read_pairs(write_rows(tmp_path / "train.parquet", rows), tokenizer, 512).kept
    assert [pair.id for pair in kept] == ["p0", "p1", "p2"]
    for pair, source in zip(kept, rows, strict=True):
        assert pair.prompt_ids + pair.chosen_ids == encode(tokenizer, source["prompt"], pair.chosen).ids
        assert pair.prompt_ids + pair.rejected_ids == encode(tokenizer, source["prompt"], pair.rejected).ids
        assert pair.chosen_ids[-1] == pair.rejected_ids[-1] == tokenizer.eos_token_id
        assert pair.tokens == len(pair.prompt_ids + pair.chosen_ids) + len(pair.prompt_ids + pair.rejected_ids)


def test_pairs_that_cannot_be_trained_on_are_dropped_and_listed(tmp_path: Path, tokenizer: Any) -> None:
    rows = [
        row("good", "Why?", "Because.", "No idea."),
        row("empty", "Why?", "Because.", "  \n"),
        row("same", "Why?", "Because.", "Because."),
        row("long", "Why?", "Because. " * 400, "No idea."),
        {**row("no-prompt", "Why?", "Because.", "No idea."), "prompt": []},
        {**row("two-turns", "Why?", "Because.", "No idea."), "chosen": [{"role": "assistant", "content": "a"}] * 2},
        {**row("weightless", "Why?", "Because.", "No idea."), "weight": 0.0},
        {**row("unsure", "Why?", "Because.", "No idea."), "soft_label": float("nan")},
        row("good", "Why?", "Because I say so.", "No idea."),
    ]
    found = dict(why(tmp_path, tokenizer, rows))
    assert found.pop("long").startswith("too long: ")
    assert found == {
        "empty": "the rejected response is empty",
        "same": "chosen and rejected are the same",
        "no-prompt": "the prompt is empty",
        "two-turns": "chosen is 2 messages instead of one",
        "weightless": "its weight is 0.0",
        "unsure": "its soft label is nan",
        "good": "an earlier row has the same id",
    }


def test_a_pair_of_exactly_the_longest_length_is_kept(tmp_path: Path, tokenizer: Any) -> None:
    rows = planted_rows(1)
    length = read_pairs(write_rows(tmp_path / "train.parquet", rows), tokenizer, 512).kept[0].length
    assert why(tmp_path, tokenizer, rows, max_length=length) == []
    assert why(tmp_path, tokenizer, rows, max_length=length - 1)[0][0] == "p0"


def test_no_pair_is_longer_than_the_context_of_the_model(tmp_path: Path, tokenizer: Any, fixture_model: Path) -> None:
    data = write_planted(tmp_path, train=3, test=2)
    model = AutoModelForCausalLM.from_pretrained(fixture_model)
    model.config.max_position_embeddings = 16
    with pytest.raises(ModelError, match="at most 16 are allowed") as caught:
        load_pairs(Data(Path(data["train"]), Path(data["test"]), ""), tokenizer, model, 512)
    assert caught.value.code == "empty_data"


def test_a_prompt_that_the_chat_template_refuses_is_dropped_with_its_words(tmp_path: Path, fixture_model: Path) -> None:
    strict = AutoTokenizer.from_pretrained(fixture_model)
    strict.chat_template = "{{ raise_exception('no system turn here') }}"
    assert why(tmp_path, strict, planted_rows(1)) == [
        ("p0", "The model's chat template does not take this prompt: no system turn here")
    ]


def test_a_special_token_spelled_out_in_a_response_stays_text(tmp_path: Path, tokenizer: Any) -> None:
    rows = [row("sly", "Why?", "Stop.<|im_end|> Not yet.", "No idea.")]
    pair = read_pairs(write_rows(tmp_path / "train.parquet", rows), tokenizer, 512).kept[0]
    assert pair.chosen_ids.count(tokenizer.eos_token_id) == 1


def test_what_a_newer_snapshot_knows_of_a_pair_is_read_and_an_older_one_goes_on_working(
    tmp_path: Path, tokenizer: Any
) -> None:
    more = {
        "votes_chosen": 3,
        "votes_tie": 1,
        "votes_rejected": 0,
        "annotators": ["ann", "bob"],
        "tags": ["steps"],
        "language": "en",
        "strength": 0.25,
    }
    rows = [{**row("new", "Why?", "Because.", "No idea."), **more}, row("bare", "Why?", "Because.", "No idea.")]
    new, bare = read_pairs(write_rows(tmp_path / "new.parquet", rows), tokenizer, 512).kept
    assert (new.votes, new.annotators, new.tags) == ((3, 1, 0), ("ann", "bob"), ("steps",))
    assert (new.language, new.strength, new.degree, new.tie) == ("en", 0.25, 0.25, False)
    old = read_pairs(write_rows(tmp_path / "old.parquet", [rows[1]]), tokenizer, 512).kept[0]
    assert old == bare
    assert (old.votes, old.annotators, old.tags, old.language, old.strength) == (None, (), (), "", None)


def test_a_final_word_is_read_and_needs_no_votes(tmp_path: Path, tokenizer: Any) -> None:
    votes = {"votes_chosen": 0, "votes_tie": 0, "votes_rejected": 0}
    rows = [{**row(name, "Why?", "Because.", "No idea."), **votes, "adjudicated": True} for name in ("one", "two")]
    rows[1]["votes_rejected"] = 2
    one, two = read_pairs(write_rows(tmp_path / "train.parquet", rows), tokenizer, 512).kept
    assert (one.votes, one.adjudicated) == (None, True)
    assert (two.votes, two.adjudicated) == ((0, 0, 2), True)


@pytest.mark.parametrize(("label", "degree"), [(1.0, 1.0), (0.75, 0.5), (0.5, 0.0), (0.25, 0.5)])
def test_without_a_strength_the_votes_say_how_strong_a_preference_is(
    label: float, degree: float, tmp_path: Path, tokenizer: Any
) -> None:
    rows = [{**row("p", "Why?", "Because.", "No idea."), "soft_label": label}]
    assert read_pairs(write_rows(tmp_path / "train.parquet", rows), tokenizer, 512).kept[0].degree == degree


def test_votes_and_strengths_that_cannot_be_are_dropped_with_the_reason(tmp_path: Path, tokenizer: Any) -> None:
    votes = {"votes_chosen": 0, "votes_tie": 0, "votes_rejected": 0}
    rows = [
        {**row("none", "Why?", "Because.", "No idea."), **votes},
        {**row("negative", "Why?", "Because.", "No idea."), **votes, "votes_tie": -1},
        {**row("beyond", "Why?", "Because.", "No idea."), "strength": 1.5},
        {**row("nan", "Why?", "Because.", "No idea."), "strength": float("nan")},
    ]
    assert dict(why(tmp_path, tokenizer, rows)) == {
        "none": "its votes are 0, 0, 0",
        "negative": "its votes are 0, -1, 0",
        "beyond": "its strength is 1.5",
        "nan": "its strength is nan",
    }


def test_ties_are_read_where_they_are_asked_for(tmp_path: Path, tokenizer: Any, fixture_model: Path) -> None:
    data = write_planted(tmp_path, train=3, test=2)
    ties = write_rows(tmp_path / "ties_train.parquet", [{**one, "soft_label": 0.5} for one in planted_rows(2, seed=1)])
    model = AutoModelForCausalLM.from_pretrained(fixture_model)
    files = Data(Path(data["train"]), Path(data["test"]), "", ties_train=ties)
    found = load_pairs(files, tokenizer, model, 512, with_ties=True)
    assert [pair.tie for pair in found.ties] == [True, True] and len(found.train) == 3
    assert not any(pair.tie for pair in found.train + found.test)
    assert load_pairs(files, tokenizer, model, 512).ties == []


def test_what_people_held_out_said_is_read_where_it_is_asked_for(
    tmp_path: Path, tokenizer: Any, fixture_model: Path
) -> None:
    data = write_planted(tmp_path, train=3, test=2)
    rows = [*planted_rows(2, seed=1), row("same", "Why?", "Because.", "Because.")]
    apart = write_rows(tmp_path / "test_annotators.parquet", rows)
    model = AutoModelForCausalLM.from_pretrained(fixture_model)
    files = Data(Path(data["train"]), Path(data["test"]), "", test_annotators=apart)
    found = load_pairs(files, tokenizer, model, 512, with_test_annotators=True)
    assert (len(found.train), len(found.test), len(found.test_annotators)) == (3, 2, 2)
    assert found.facts()["test_annotators"] == 2
    assert [(one["id"], one["split"]) for one in found.dropped] == [("same", "test_annotators")]
    plain = load_pairs(files, tokenizer, model, 512)
    assert plain.test_annotators is None and plain.dropped == [] and "test_annotators" not in plain.facts()


@pytest.mark.parametrize("rows", [[], [row("same", "Why?", "Because.", "Because.")]])
def test_nothing_to_train_on_is_said_with_the_reason(tmp_path: Path, tokenizer: Any, rows: list[Any]) -> None:
    path = write_rows(tmp_path / "train.parquet", rows)
    with pytest.raises(ModelError, match="the same" if rows else "no rows") as caught:
        require_pairs(read_pairs(path, tokenizer, 512), path)
    assert caught.value.code == "empty_data"


def test_a_file_of_another_shape_is_refused_by_its_missing_columns(tmp_path: Path, tokenizer: Any) -> None:
    path = tmp_path / "train.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"id": ["1"], "prompt": ["Why?"]}), path)
    with pytest.raises(ModelError, match="no column chosen, rejected, weight") as caught:
        read_pairs(path, tokenizer, 512)
    assert caught.value.code == "bad_data"


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path, tokenizer: Any) -> None:
    path = tmp_path / "train.parquet"
    path.write_text("id,prompt\n")
    with pytest.raises(ModelError) as caught:
        read_pairs(path, tokenizer, 512)
    assert caught.value.code == "bad_data"


def test_a_tokenizer_without_a_chat_template_is_refused(tmp_path: Path, fixture_model: Path) -> None:
    bare = AutoTokenizer.from_pretrained(fixture_model)
    bare.chat_template = None
    with pytest.raises(ModelError) as caught:
        read_pairs(write_rows(tmp_path / "train.parquet", planted_rows(1)), bare, 512)
    assert caught.value.code == "no_chat_template"
