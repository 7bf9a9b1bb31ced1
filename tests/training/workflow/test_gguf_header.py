"""A GGUF file tells what its model is before it is converted, or nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
import pytest
from gguf import GGUFWriter

from tests.training.fixture_model import build_fixture_model
from tests.training.gguf_file import write_gguf
from training.recipes.estimate.families import read_architecture
from training.workflow.gguf_header import BadHeader, config_of_header, read_header

pytestmark = pytest.mark.not_db


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gguf")
    return write_gguf(build_fixture_model(folder / "model"), folder / "fixture.gguf")


def written(path: Path, family: str, *, output: bool = False, **own: int | list[int]) -> Path:
    """A header with two tensors that hold nothing much."""
    writer = GGUFWriter(path, family)
    entries: dict[str, Any] = {"block_count": 2, "context_length": 512, "embedding_length": 64}
    entries |= {"feed_forward_length": 96, "attention.head_count": 4, "attention.head_count_kv": 2}
    for name, value in (entries | own).items():
        add = writer.add_array if isinstance(value, list) else writer.add_uint32
        add(f"{family}.{name.replace('__', '.')}", value)
    writer.add_token_list([f"word {number}" for number in range(300)])
    for name in ("token_embd.weight", *(["output.weight"] if output else [])):
        writer.add_tensor(name, numpy.zeros((300, 64), dtype=numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_it_says_what_the_models_own_config_says(gguf: Path) -> None:
    config = config_of_header(gguf)
    original = json.loads((gguf.parent / "model" / "config.json").read_text())
    assert config is not None and read_architecture(config) == read_architecture(original)


@pytest.mark.parametrize(
    ("family", "model_type"), [("qwen2", "qwen2"), ("qwen3", "qwen3"), ("gemma", "gemma"), ("gemma3", "gemma3_text")]
)
def test_every_family_is_named_as_transformers_names_it(family: str, model_type: str, tmp_path: Path) -> None:
    own = {"attention__key_length": 32}
    config = config_of_header(written(tmp_path / "model.gguf", family, output=True, **own))
    assert config is not None
    assert config == {
        "model_type": model_type,
        "num_hidden_layers": 2,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "max_position_embeddings": 512,
        "vocab_size": 300,
        "tie_word_embeddings": False,
    }
    assert read_architecture(config).known


@pytest.mark.parametrize(
    ("family", "own"),
    [
        ("mamba", {}),
        ("llama", {"expert_count": 8}),
        ("llama", {"attention.head_count_kv": [2, 1]}),
        ("llama", {"feed_forward_length": [96, 64]}),
    ],
)
def test_what_it_does_not_tell_well_enough_is_not_guessed(
    family: str, own: dict[str, int | list[int]], tmp_path: Path
) -> None:
    """Other families, experts, layers of different sizes."""
    assert config_of_header(written(tmp_path / "model.gguf", family, **own)) is None


def test_a_damaged_file_tells_nothing(gguf: Path, tmp_path: Path) -> None:
    """Wherever it was cut off within its header, and where lengths make no sense."""
    whole, broken = gguf.read_bytes(), tmp_path / "broken.gguf"
    with gguf.open("rb") as file:
        read_header(file)
        end = file.tell()
    for cut in (0, 3, 4, 8, 23, 24, 30, end // 3, end // 2, end - 1):
        broken.write_bytes(whole[:cut])
        assert config_of_header(broken) is None, cut
    broken.write_bytes(whole[:24] + b"\xff" * 8 + whole[32:])
    assert config_of_header(broken) is None
    with broken.open("rb") as file, pytest.raises(BadHeader):
        read_header(file)
    assert config_of_header(tmp_path / "nowhere.gguf") is None
