"""Models are loaded from anywhere, never unpickled, and what is wrong with one is said in words."""

import json
import shutil
from pathlib import Path

import peft
import pytest
import torch
from huggingface_hub.errors import GatedRepoError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForSequenceClassification,
    tokenization_utils_base,
)

from tests.training.gguf_file import write_gguf
from training.ml.artifact import FORMAT, weights_sha256
from training.ml.device import choose_device
from training.ml.errors import ModelError
from training.ml.job import ModelSpec
from training.ml.load import load_policy, load_reward_base, load_reward_model, load_tokenizer
from training.ml.origin import load_errors

IDS = torch.tensor([[1, 50, 60, 70, 2]])


def policy(spec: ModelSpec, cache: Path) -> torch.nn.Module:
    return load_policy(spec, cache=cache, device=choose_device())


def code_of(spec: ModelSpec, cache: Path, load=policy) -> str:
    with pytest.raises(ModelError) as caught:
        load(spec, cache)
    assert caught.value.hint
    return caught.value.code


def write_adapter(path: Path, model: torch.nn.Module, task: str, seed: int) -> Path:
    """A LoRA adapter that really changes the model (B is drawn, not zero), as an artifact."""
    torch.manual_seed(seed)
    kind, extra = ("SEQ_CLS", {}) if task == "reward" else ("CAUSAL_LM", {})
    config = peft.LoraConfig(r=4, task_type=kind, target_modules="all-linear", init_lora_weights=False, **extra)
    wrapped = peft.get_peft_model(model, config)
    wrapped.save_pretrained(path)
    manifest = {"format": FORMAT, "kind": "adapter", "task": task, "weights_sha256": weights_sha256(path)}
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def test_a_directory_and_a_gguf_give_the_same_model(fixture_model, tmp_path):
    gguf = write_gguf(fixture_model, tmp_path / "m.gguf")
    starts = []
    with torch.no_grad():
        one = policy(ModelSpec(str(fixture_model)), tmp_path)(IDS).logits
        spec = ModelSpec(str(gguf))
        two = load_policy(spec, cache=tmp_path, device=choose_device(), on_convert=lambda: starts.append(1))(IDS).logits
    assert torch.allclose(one, two, atol=1e-4)
    assert starts == [1]


def test_adapters_are_merged_in_order_into_a_plain_model(fixture_model, tmp_path):
    first = write_adapter(tmp_path / "a", AutoModelForCausalLM.from_pretrained(fixture_model), "policy", 1)
    second = write_adapter(tmp_path / "b", policy(ModelSpec(str(fixture_model), (str(first),)), tmp_path), "policy", 2)
    merged = policy(ModelSpec(str(fixture_model), (str(first), str(second))), tmp_path)
    assert not isinstance(merged, peft.PeftModel)
    stacked = AutoModelForCausalLM.from_pretrained(fixture_model)
    for adapter in (first, second):
        stacked = peft.PeftModel.from_pretrained(stacked, adapter).merge_and_unload()
    with torch.no_grad():
        bare = policy(ModelSpec(str(fixture_model)), tmp_path)(IDS).logits
        assert torch.allclose(merged(IDS).logits, stacked(IDS).logits, atol=1e-5)
        assert not torch.allclose(merged(IDS).logits, bare, atol=1e-2)


def test_a_reward_adapter_brings_its_head_and_stands_on_the_policy_it_was_trained_on(fixture_model, tmp_path):
    below = write_adapter(tmp_path / "p", AutoModelForCausalLM.from_pretrained(fixture_model), "policy", 1)
    base = ModelSpec(str(fixture_model), (str(below),))
    trained = load_reward_base(base, cache=tmp_path, device=choose_device())
    trained.score.weight.data.fill_(0.5)
    top = write_adapter(tmp_path / "r", trained, "reward", 2)
    with torch.no_grad():
        expected = trained.base_model(IDS).last_hidden_state @ torch.full((64, 1), 0.5)
        loaded = load_reward_model(
            ModelSpec(base.base, (*base.adapters, str(top))), cache=tmp_path, device=choose_device()
        )
        found = loaded.score(loaded.base_model(IDS).last_hidden_state)
    assert torch.allclose(found, expected, atol=1e-4)


def test_a_policy_adapter_is_not_taken_for_a_reward_model(fixture_model, tmp_path):
    adapter = write_adapter(tmp_path / "p", AutoModelForCausalLM.from_pretrained(fixture_model), "policy", 1)
    for spec in (ModelSpec(str(fixture_model), (str(adapter),)), ModelSpec(str(fixture_model))):
        with pytest.raises(ModelError) as caught:
            load_reward_model(spec, cache=tmp_path, device=choose_device())
        assert caught.value.code == "not_reward_model"


def test_a_full_reward_model_is_loaded_as_it_is(tmp_path):
    small = LlamaConfig(vocab_size=99, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    small.num_labels = 1
    LlamaForSequenceClassification(small).save_pretrained(tmp_path / "rm")
    loaded = load_reward_model(ModelSpec(str(tmp_path / "rm")), cache=tmp_path, device=choose_device())
    assert loaded.score.out_features == 1
    assert code_of(ModelSpec(str(tmp_path / "rm")), tmp_path) == "not_causal_lm"


@pytest.mark.parametrize(
    "base", ["/no/dir", "./nor/this", "~/x.gguf", "missing.gguf", "", "a b", "a/b/c", "some/hub-id"]
)
def test_a_model_that_is_not_there_is_unknown(base, tmp_path):
    assert code_of(ModelSpec(base), tmp_path) == "unknown_model"


def test_a_model_that_its_owner_must_give_access_to_is_told_as_such():
    """As transformers raises it, from what the hub's library makes of a 401 or 403."""
    refused = GatedRepoError.__new__(GatedRepoError)  # its constructor asks for an answer of the hub
    with pytest.raises(ModelError) as caught, load_errors("some/model"):
        raise OSError("You are trying to access a gated repo.") from refused
    assert caught.value.code == "unknown_model" and "PLUMBLINE_HUB_READ" in caught.value.hint


def test_a_directory_without_a_model_is_unknown(tmp_path):
    assert code_of(ModelSpec(str(tmp_path)), tmp_path) == "unknown_model"


def test_an_encoder_is_no_causal_language_model(tmp_path):
    config = BertConfig(vocab_size=99, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    BertModel(config).save_pretrained(tmp_path / "bert")
    assert code_of(ModelSpec(str(tmp_path / "bert")), tmp_path) == "not_causal_lm"


def test_a_pickle_is_refused_unread(fixture_model, tmp_path):
    copy = shutil.copytree(fixture_model, tmp_path / "copy")
    (copy / "model.safetensors").unlink()
    # Unpickling this would fail in another way, so the code also shows that nobody tried.
    (copy / "pytorch_model.bin").write_bytes(b"not a pickle")
    assert code_of(ModelSpec(str(copy)), tmp_path) == "pickle_only"


def test_an_adapter_of_pickles_a_missing_one_and_a_changed_one_are_refused(fixture_model, tmp_path):
    adapter = write_adapter(tmp_path / "a", AutoModelForCausalLM.from_pretrained(fixture_model), "policy", 1)
    spec = ModelSpec(str(fixture_model), (str(adapter),))
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    assert code_of(spec, tmp_path) == "broken_artifact"
    weights.rename(adapter / "adapter_model.bin")
    assert code_of(spec, tmp_path) == "pickle_only"
    shutil.rmtree(adapter)
    assert code_of(spec, tmp_path) == "unknown_model"


def test_weights_cut_short_are_told_as_such(fixture_model, tmp_path):
    copy = shutil.copytree(fixture_model, tmp_path / "copy")
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert code_of(ModelSpec(str(copy)), tmp_path) == "unknown_model"


def test_a_text_longer_than_the_context_is_measured_without_a_warning(fixture_model, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(tokenization_utils_base.logger, "warning", said.append)
    texts = "long " * 3000
    plain = AutoTokenizer.from_pretrained(fixture_model)
    plain.model_max_length = 8
    plain(texts)
    assert len(said) == 1, "transformers would"
    tokenizer = load_tokenizer(ModelSpec(str(fixture_model)), cache=tmp_path)
    tokenizer.model_max_length = 8
    assert len(tokenizer(texts)["input_ids"]) > 8 and len(said) == 1


def test_a_tokenizer_without_pad_pads_with_eos_and_one_without_eos_is_refused(fixture_model, tmp_path):
    copy = shutil.copytree(fixture_model, tmp_path / "copy")
    path = copy / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    del settings["pad_token"]
    path.write_text(json.dumps(settings))
    tokenizer = load_tokenizer(ModelSpec(str(copy)), cache=tmp_path)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    del settings["eos_token"]
    path.write_text(json.dumps(settings))
    assert code_of(ModelSpec(str(copy)), tmp_path, lambda spec, cache: load_tokenizer(spec, cache=cache)) == "no_eos"
