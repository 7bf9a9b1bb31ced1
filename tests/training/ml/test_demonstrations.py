"""Reading demonstrations: what is kept, what is dropped with which reason, and the files that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.training.demonstrations import demonstration_rows, write_demonstration_rows
from training.ml.demonstrations import load_demonstrations, read_demonstrations
from training.ml.errors import ModelError
from training.ml.job import Data


@pytest.fixture(scope="module")
def tokenizer(fixture_model: Path) -> Any:
    return AutoTokenizer.from_pretrained(fixture_model)


def row(name: str, text: str) -> dict[str, Any]:
    return {**demonstration_rows(1)[0], "id": name, "response": [{"role": "assistant", "content": text}]}


def load(path: Path, rows: list[dict[str, Any]], tokenizer: Any, model: Any, longest: int = 512) -> Any:
    train = write_demonstration_rows(path / "train.parquet", rows)
    test = write_demonstration_rows(path / "test.parquet", demonstration_rows(2))
    return load_demonstrations(Data(train, test, ""), tokenizer, model, longest)


@pytest.fixture(scope="module")
def model(fixture_model: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(fixture_model)


def test_the_tokens_learned_are_those_of_the_response_with_its_eos(tmp_path: Path, tokenizer: Any, model: Any) -> None:
    one = load(tmp_path, [row("a", "Yes.")], tokenizer, model).train[0]
    assert tokenizer.decode(one.completion_ids) == "Yes.<|im_end|>"
    assert one.units == len(one.completion_ids)
    assert one.tokens == one.length == len(one.prompt_ids) + one.units


def test_demonstrations_that_cannot_be_trained_on_are_dropped_and_listed(
    tmp_path: Path, tokenizer: Any, model: Any
) -> None:
    rows = [
        row("good", "Yes."),
        row("empty", " \n"),
        row("long", "Because. " * 400),
        {**row("no-prompt", "Yes."), "prompt": []},
        {**row("silent", "Yes."), "response": []},
        row("good", "Yes, again."),
    ]
    data = load(tmp_path, rows, tokenizer, model)
    assert [one.id for one in data.train] == ["good"]
    found = {entry["id"]: entry["why"] for entry in data.dropped}
    assert found.pop("long").startswith("too long: ")
    assert found == {
        "empty": "the response is empty",
        "no-prompt": "the prompt is empty",
        "silent": "response is 0 messages instead of one",
        "good": "an earlier row has the same id",
    }
    assert {entry["split"] for entry in data.dropped} == {"train"}
    assert data.counts() == {"train": 1, "test": 2, "dropped": 5}


def test_nothing_is_longer_than_the_context_of_the_model(tmp_path: Path, tokenizer: Any, fixture_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(fixture_model)
    model.config.max_position_embeddings = 16
    with pytest.raises(ModelError, match="at most 16 are allowed") as caught:
        load(tmp_path, [row("a", "Yes.")], tokenizer, model)
    assert caught.value.code == "empty_data"


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path, tokenizer: Any, model: Any) -> None:
    with pytest.raises(ModelError, match="it has no rows") as caught:
        load(tmp_path, [], tokenizer, model)
    assert caught.value.code == "empty_data"


def test_a_file_of_another_shape_is_refused_by_its_missing_columns(tmp_path: Path, tokenizer: Any) -> None:
    path = tmp_path / "train.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"id": ["1"], "prompt": ["Why?"]}), path)
    with pytest.raises(ModelError, match="no column response; it has id, prompt") as caught:
        read_demonstrations(path, tokenizer, 512, [])
    assert caught.value.code == "bad_data"


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path, tokenizer: Any) -> None:
    path = tmp_path / "train.parquet"
    path.write_text("id,prompt\n")
    with pytest.raises(ModelError) as caught:
        read_demonstrations(path, tokenizer, 512, [])
    assert caught.value.code == "bad_data"


def test_a_tokenizer_without_a_chat_template_is_refused(tmp_path: Path, fixture_model: Path, model: Any) -> None:
    bare = AutoTokenizer.from_pretrained(fixture_model)
    bare.chat_template = None
    with pytest.raises(ModelError) as caught:
        load(tmp_path, [row("a", "Yes.")], bare, model)
    assert caught.value.code == "no_chat_template"
