"""A GGUF file is converted once, exactly, and whole or not at all."""

import multiprocessing
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.training.gguf_file import write_gguf
from training.ml.convert import converted
from training.ml.errors import ModelError


@pytest.fixture(scope="module")
def gguf(fixture_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(fixture_model, tmp_path_factory.mktemp("gguf") / "fixture.gguf")


def convert_in_child(gguf: Path, cache: Path, queue: multiprocessing.Queue) -> None:
    starts = []
    target = converted(gguf, cache, lambda: starts.append(1))
    queue.put((str(target), len(starts)))


def test_the_copy_computes_what_the_original_computes(gguf, fixture_model, tmp_path):
    copy = converted(gguf, tmp_path / "cache")
    ids = torch.tensor([[1, 50, 60, 70, 2]])
    with torch.no_grad():
        one, other = (AutoModelForCausalLM.from_pretrained(path)(ids).logits for path in (fixture_model, copy))
    assert torch.allclose(one, other, atol=1e-4)


def test_the_copy_is_plain_fp32_safetensors_with_a_sane_tokenizer(gguf, fixture_model, tmp_path):
    copy = converted(gguf, tmp_path / "cache")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(copy), AutoTokenizer.from_pretrained(copy)
    assert model.dtype == torch.float32
    assert "quantization_config" not in (copy / "config.json").read_text()
    assert tokenizer.model_max_length == model.config.max_position_embeddings == 1024
    original = AutoTokenizer.from_pretrained(fixture_model)
    assert tokenizer.encode("Step one: 你好") == original.encode("Step one: 你好")
    assert tokenizer.chat_template == original.chat_template


def test_a_second_conversion_is_served_from_the_cache_wherever_the_file_lies(gguf, tmp_path):
    starts = []
    first = converted(gguf, tmp_path / "cache", lambda: starts.append(1))
    moved = shutil.copy(gguf, tmp_path / "fixture.gguf")
    assert converted(Path(moved), tmp_path / "cache", lambda: starts.append(1)) == first
    assert len(starts) == 1


def test_two_processes_at_once_convert_once_and_leave_nothing_behind(gguf, tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    cache = tmp_path / "cache"
    children = [context.Process(target=convert_in_child, args=(gguf, cache, queue)) for _ in range(2)]
    for child in children:
        child.start()
    answers = [queue.get(timeout=120) for _ in children]
    for child in children:
        child.join(timeout=30)
    assert len({target for target, _ in answers}) == 1
    assert sorted(starts for _, starts in answers) == [0, 1]
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [Path(answers[0][0]).name]


def test_what_a_killed_conversion_left_is_cleared_away(gguf, tmp_path):
    copy = converted(gguf, tmp_path / "cache")
    half = copy.rename(copy.with_name(copy.name + ".tmp"))
    (half / "model.safetensors").write_bytes(b"half")
    copy = converted(gguf, tmp_path / "cache")
    assert AutoModelForCausalLM.from_pretrained(copy).dtype == torch.float32
    assert not half.exists()


def test_too_little_disk_is_said_before_anything_is_written(gguf, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(ModelError) as caught:
        converted(gguf, tmp_path / "cache")
    assert caught.value.code == "disk_full"
    assert "GB" in caught.value.message
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


@pytest.mark.parametrize("content", [b"", b"not a gguf at all", b"GGUF\x03\x00\x00\x00" + b"\x00" * 6])
def test_a_file_that_is_no_gguf_is_refused_by_name(content, tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        converted(broken, tmp_path / "cache")
    assert caught.value.code == "unsupported_gguf"
    assert "broken.gguf" in caught.value.message


def test_a_download_cut_short_is_refused(gguf, tmp_path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(gguf.read_bytes()[:-100_000])
    with pytest.raises(ModelError) as caught:
        converted(cut, tmp_path / "cache")
    assert caught.value.code == "unsupported_gguf"
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]
