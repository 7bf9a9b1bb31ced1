"""Where EOS is not what the chat template ends a turn with, a response ends as the template says, all along the way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer, GenerationConfig

from tests.training.ml.export_jobs import job
from tests.training.ml.trained import train_briefly
from training.ml import export
from training.ml.chat import encode
from training.ml.job import ModelSpec
from training.ml.load import load_tokenizer

pytestmark = pytest.mark.not_db
MESSAGES = [{"role": "user", "content": "How do I bake bread?"}]


@pytest.fixture
def base(fixture_model: Path, tmp_path: Path) -> Path:
    """As Qwen2.5's base models: ChatML turns, and another token as EOS and padding."""
    folder = shutil.copytree(fixture_model, tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.eos_token = "<|pad|>"
    tokenizer.save_pretrained(folder)
    return folder


def ending(spec: ModelSpec) -> str:
    tokenizer = load_tokenizer(spec, cache=Path(spec.base))
    return tokenizer.convert_ids_to_tokens(encode(tokenizer, MESSAGES, "Mix flour.").ids[-1])


def test_the_tokens_are_those_of_the_template(base: Path) -> None:
    tokenizer = load_tokenizer(ModelSpec(str(base)), cache=base)
    whole = tokenizer.apply_chat_template([*MESSAGES, {"role": "assistant", "content": "Mix flour."}], tokenize=False)
    assert (
        tokenizer.encode(whole.rstrip("\n"), add_special_tokens=False) == encode(tokenizer, MESSAGES, "Mix flour.").ids
    )
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|pad|>")


@pytest.mark.parametrize("variant", ["lora", "full"])
def test_what_was_trained_keeps_its_ending_and_says_so_to_others(base: Path, variant: str, tmp_path: Path) -> None:
    trained = train_briefly(variant, "policy", base, tmp_path / "artifact")
    assert ending(trained.spec) == "<|im_end|>"
    made = job(trained, tmp_path / "job")
    export.run(made)
    folder = made.cache / "exports" / "garden" / "plain"
    assert AutoTokenizer.from_pretrained(folder).eos_token == "<|im_end|>"
    stops = GenerationConfig.from_pretrained(folder).eos_token_id
    assert AutoTokenizer.from_pretrained(folder).eos_token_id in (stops if isinstance(stops, list) else [stops])


@pytest.mark.parametrize("variant", ["lora", "full"])
def test_an_artifact_of_before_goes_on_as_it_was_trained(base: Path, variant: str, tmp_path: Path) -> None:
    trained = train_briefly(variant, "policy", base, tmp_path / "artifact")
    path = trained.artifact / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token": "<|pad|>"}))
    assert ending(trained.spec) == "<|pad|>"
