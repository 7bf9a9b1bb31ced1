"""The reference: computed once per model and text, reused by later runs, whatever happens to one of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.training.ml.jobs import job_of, manifest
from tests.training.planted import planted_rows, write_planted, write_rows
from training.ml import cancel, dpo, vector_store
from training.ml.adapters import apply_adapter
from training.ml.logprobs import Sequences
from training.ml.progress import Progress, read_lines
from training.ml.reference import Reference, frozen_logps, model_key, text_key, untouched
from training.ml.vector_store import VectorStore
from training.recipes.dpo import DPOConfig

TEXTS: Sequences = [([5, 6], [7, 2]), ([5], [6, 7, 2]), ([8, 9, 10], [2]), ([5, 6], [11, 12, 13, 2])]


@pytest.fixture
def model(fixture_model: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(fixture_model).eval()


def prepared(model: Any, directory: Path, texts: Sequences = TEXTS) -> Reference:
    reference = Reference(directory / "cache", "some-model")
    reference.prepare(model, texts, 2, Progress(directory))
    return reference


def parts(directory: Path) -> list[Path]:
    return sorted((directory / "cache").rglob("*.parquet"))


def assert_right(reference: Reference, model: Any) -> None:
    expected = frozen_logps(model, TEXTS)
    for found, wanted in zip(reference.of(TEXTS, torch.device("cpu")), expected, strict=True):
        assert torch.allclose(found, wanted, atol=1e-5)


def test_only_what_is_missing_is_computed_and_both_are_counted(model: Any, tmp_path: Path) -> None:
    assert prepared(model, tmp_path, TEXTS[:3]).counts == {"computed": 3, "reused": 0}
    later = prepared(model, tmp_path)
    assert later.counts == {"computed": 1, "reused": 3}
    assert_right(later, model)
    told = [line["reference"] for line in read_lines(tmp_path / "progress.jsonl")]
    assert told == [{"computed": 3, "reused": 0}, {"computed": 1, "reused": 3}]


def test_it_tells_how_far_it_is_and_how_long_it_will_take(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_store, "TOLD_EVERY", 0.0)
    prepared(model, tmp_path)
    first, *rest = read_lines(tmp_path / "progress.jsonl")
    assert "step" not in first and len(rest) > 1
    assert {line["kind"] for line in rest} == {"status"}, "steps of training alone are points of a curve"
    assert [line["step"] for line in rest] == sorted({line["step"] for line in rest})
    assert {line["steps"] for line in rest} == {4} and rest[-1]["step"] == 4 and rest[-1]["eta_seconds"] == 0.0
    assert all(line["reference"] == {"computed": 4, "reused": 0} for line in rest)


def test_a_text_that_comes_twice_is_computed_once(model: Any, tmp_path: Path) -> None:
    assert prepared(model, tmp_path, [*TEXTS, *TEXTS]).counts == {"computed": 4, "reused": 0}


def test_a_prompt_and_its_response_are_told_apart() -> None:
    assert text_key([1, 2], [3]) != text_key([1], [2, 3])
    assert text_key([1, 23], [4]) != text_key([12, 3], [4])


@pytest.mark.parametrize("keep", [0, 10, 200])
def test_a_torn_part_is_computed_again(keep: int, model: Any, tmp_path: Path) -> None:
    prepared(model, tmp_path)
    (part,) = parts(tmp_path)
    part.write_bytes(part.read_bytes()[:keep])
    again = prepared(model, tmp_path)
    assert again.counts == {"computed": 4, "reused": 0}
    assert_right(again, model)
    assert prepared(model, tmp_path).counts == {"computed": 0, "reused": 4}


def test_a_part_whose_numbers_were_damaged_is_computed_again(model: Any, tmp_path: Path) -> None:
    """Not torn, still a Parquet file, but a bit of its values is another one: the checksum tells."""
    prepared(model, tmp_path)
    (part,) = parts(tmp_path)
    content = bytearray(part.read_bytes())
    value = frozen_logps(model, TEXTS)[2].numpy().tobytes()
    places = [i for i in range(len(content)) if bytes(content[i : i + 2]) == value[2:4]]
    assert places
    for place in places:
        content[place] ^= 1
    part.write_bytes(content)
    again = prepared(model, tmp_path)
    assert again.counts == {"computed": 4, "reused": 0}
    assert_right(again, model)


def test_what_another_run_is_writing_is_not_read_by_half(model: Any, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "reference" / "some-model"
    folder.mkdir(parents=True)
    (folder / "abc.tmp").write_bytes(b"PAR1 half of a p")
    assert prepared(model, tmp_path).counts == {"computed": 4, "reused": 0}
    assert (folder / "abc.tmp").exists()


def test_runs_at_the_same_time_lose_nothing_of_each_other(tmp_path: Path) -> None:
    store = VectorStore(tmp_path, "logps")

    def run(number: int) -> None:
        for part in range(5):
            with store.writing() as keep:
                keep(f"{number}-{part}", [float(number), float(part)])
                keep("shared", [1.0])
            assert f"{number}-{part}" in store.read({f"{number}-{part}"})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))
    names = {f"{number}-{part}" for number in range(8) for part in range(5)} | {"shared"}
    found = store.read(names)
    assert found.keys() == names
    assert found["7-3"].tolist() == [7.0, 3.0]
    assert not list(tmp_path.glob("*.tmp"))


def test_a_cancelled_run_keeps_what_it_has_computed(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = iter([None, cancel.Cancelled()])

    def check() -> None:
        if problem := next(checks):
            raise problem

    monkeypatch.setattr(cancel, "check", check)
    with pytest.raises(cancel.Cancelled):
        prepared(model, tmp_path)
    monkeypatch.undo()
    assert prepared(model, tmp_path).counts == {"computed": 2, "reused": 2}


def test_a_long_computation_is_written_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_store, "SECONDS", -1.0)
    store = VectorStore(tmp_path, "logps")
    with store.writing() as keep:
        keep("a", [1.0])
        assert store.read({"a", "b"}).keys() == {"a"}
        keep("b", [2.0])
    assert store.read({"a", "b"}).keys() == {"a", "b"}


def test_the_key_is_of_the_weights_and_the_template(model: Any, fixture_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(fixture_model)
    key = model_key(model, tokenizer, DPOConfig())
    again = AutoModelForCausalLM.from_pretrained(fixture_model)
    assert model_key(again, tokenizer, DPOConfig(adapter="full")) == key
    assert model_key(again.to(torch.bfloat16), tokenizer, DPOConfig()) != key
    model.model.layers[1].mlp.up_proj.weight.data[3, 3] += 1e-6
    assert model_key(model, tokenizer, DPOConfig()) != key
    tokenizer.chat_template += " "
    assert model_key(AutoModelForCausalLM.from_pretrained(fixture_model), tokenizer, DPOConfig()) != key


def test_the_reference_is_the_model_before_the_adapter_and_ignores_its_dropout(model: Any, tmp_path: Path) -> None:
    expected = frozen_logps(model, TEXTS)
    config = DPOConfig(dropout=0.5)
    adapted = apply_adapter(model, config, "policy")
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            weight.data.normal_()
    adapted.train()
    with untouched(adapted, config) as frozen:
        reference = prepared(frozen, tmp_path)
    assert adapted.training
    for found, wanted in zip(reference.of(TEXTS, torch.device("cpu")), expected, strict=True):
        assert torch.allclose(found, wanted, atol=1e-5)


def test_a_later_snapshot_reuses_the_pairs_of_an_earlier_one(fixture_model: Path, tmp_path: Path) -> None:
    """Also under another adapter method: the frozen start is the same model."""
    first = write_planted(tmp_path / "first", train=16, test=6)
    dpo.run(job_of(tmp_path / "one", "dpo", fixture_model, first))
    second = write_planted(tmp_path / "second", train=20, test=2)
    write_rows(Path(second["train"]), planted_rows(26)[:24])
    write_rows(Path(second["test"]), planted_rows(26)[24:])
    job = job_of(tmp_path / "two", "dpo", fixture_model, second, adapter="full", learning_rate=1e-4)
    dpo.run(job)
    assert manifest(tmp_path / "one")["reference"] == {"computed": 44, "reused": 0, "moved_at_start": False}
    # 22 of the 26 pairs, two texts each, were there.
    assert manifest(tmp_path / "two")["reference"] == {"computed": 8, "reused": 44, "moved_at_start": False}
