"""Adapters on other architectures than a Llama, and on models they do not fit: there the reason is told."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, BertForSequenceClassification, DistilBertConfig
from transformers import DistilBertForSequenceClassification as DistilBert

from tests.training.fixture_model import build_fixture_model
from tests.training.ml.architectures import build_architecture
from tests.training.ml.judges import foreign_model
from tests.training.ml.trained import MERGEABLE, VARIANTS, configured, train_briefly, untrained
from training.ml.adapters import apply_adapter, parameter_counts
from training.ml.artifact import weights_sha256
from training.ml.batching import pad
from training.ml.blocks import KEYS_AND_VALUES, place
from training.ml.chat import encode
from training.ml.device import choose_device
from training.ml.errors import ModelError
from training.ml.forward import context_of, hidden_states
from training.ml.job import ModelSpec
from training.ml.load import load_policy, load_reward_model, load_speaker
from training.ml.scorer import Scorer
from training.recipes import RecipeError, load
from training.recipes.adapters import METHODS

LEARNED_POSITIONS = [name for name in VARIANTS if not name.startswith(("qlora", "lora-"))]


def refused(work, *arguments, **settings) -> ModelError:
    with pytest.raises(ModelError) as caught:
        work(*arguments, **settings)
    assert caught.value.hint
    return caught.value


def speaker(base: Path, *adapters: Path) -> nn.Module:
    return load_speaker(ModelSpec(str(base), tuple(map(str, adapters))), cache=base, device=choose_device())


@pytest.mark.parametrize("task", ["policy", "reward"])
@pytest.mark.parametrize("variant", LEARNED_POSITIONS)
def test_gpt2_learns_and_is_reloaded_by_every_method(gpt2_model: Path, variant: str, task: str, tmp_path: Path) -> None:
    """Its matrices stand the other way round, its positions are learned: they have to be the ones PEFT would give."""
    one = train_briefly(variant, task, gpt2_model, tmp_path / "artifact")
    with torch.no_grad():
        expected = one.outcome(one.model)
        assert torch.allclose(one.outcome(one.reloaded()), expected, atol=1e-5)
        assert (one.outcome(one.fresh()) - expected).abs().max() > 0.02
        alone = torch.cat([one.outcome_of(one.model, [ids]) for ids in one.sequences()])
        assert torch.allclose(alone, expected, atol=1e-5)
        if task == "policy" and variant in MERGEABLE:
            merged = load_policy(one.spec, cache=one.base, device=choose_device())
            assert torch.allclose(one.outcome(merged), expected, atol=1e-4)
        if task == "policy" and (one.artifact / "adapter_config.json").exists() and variant != "houlsby":
            plain = peft.PeftModel.from_pretrained(one.bare(), one.artifact).eval()
            ids = one.sequences()[0]
            theirs = plain(input_ids=torch.tensor([ids])).logits[0, -len(ids) : -1]
            assert torch.allclose(one.outcome_of(one.model, [ids]), theirs, atol=1e-5)


@pytest.mark.parametrize("adapter", METHODS)
def test_an_encoder_takes_every_method_at_any_padding_side(tmp_path: Path, adapter: str) -> None:
    encoder = BertForSequenceClassification.from_pretrained(build_architecture("bert", tmp_path))
    bare = encoder.base_model(torch.tensor([[1, 50, 60, 70, 2]])).last_hidden_state
    model = apply_adapter(encoder, configured(f"{adapter}-mlp" if adapter == "p_tuning" else adapter), "reward").eval()
    sequences = [[1, 50, 60, 70, 2], [4, 5, 2], [9] * 12]
    alone = [hidden_states(model, pad([ids], 0))[0] for ids in sequences]
    for side in ("left", "right"):
        batch = pad(sequences, 0, side)
        together = hidden_states(model, batch)
        for row, ids in enumerate(sequences):
            assert torch.allclose(together[row][batch.attention_mask[row] == 1], alone[row], atol=1e-5), len(ids)
    alone[0].square().sum().backward()
    assert any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in model.parameters())
    if adapter in ("prefix", "p_tuning_v2", "p_tuning", "prompt_tuning"):
        assert (alone[0] - bare[0]).abs().max() > 1e-3  # the virtual tokens are seen


def test_ia3_scales_keys_values_and_the_inner_activation_and_nothing_else(
    fixture_model: Path, gpt2_model: Path, tmp_path: Path
) -> None:
    def targets(model: nn.Module) -> dict[str, bool]:
        layers = [(name, part) for name, part in model.named_modules() if isinstance(part, peft.tuners.ia3.IA3Layer)]
        return {re.sub(r".*\.(layers|h|layer)\.\d+\.", "", name): part.is_feedforward for name, part in layers}

    llama = {"self_attn.k_proj": False, "self_attn.v_proj": False, "mlp.down_proj": True}
    assert targets(untrained(configured("ia3"), "policy", fixture_model)) == llama
    fused = {"attn.c_attn": False, "mlp.c_proj": True}  # queries come along: they are one product
    assert targets(untrained(configured("ia3"), "policy", gpt2_model)) == fused
    encoder = BertForSequenceClassification.from_pretrained(build_architecture("bert", tmp_path))
    bert = {"attention.self.key": False, "attention.self.value": False, "output.dense": True}
    assert targets(apply_adapter(encoder, configured("ia3"), "reward")) == bert


def test_a_tied_head_is_not_trained_with_the_last_layers_and_one_of_its_own_is(
    fixture_model: Path, qwen2_model: Path
) -> None:
    def names(base: Path) -> set[str]:
        model = untrained(configured("last_layers"), "policy", base)
        return {name.split(".layers.")[-1] for name, weight in model.named_parameters() if weight.requires_grad}

    assert {name for name in names(fixture_model) if not name.startswith("1.")} == {"model.norm.weight"}
    assert {name for name in names(qwen2_model) if not name.startswith("1.")} == {"model.norm.weight", "lm_head.weight"}


def test_a_base_without_biases_is_refused(fixture_model: Path) -> None:
    error = refused(untrained, configured("bias"), "policy", fixture_model)
    assert error.code == "no_biases" and "LlamaForCausalLM has no biases" in error.message


def test_more_last_layers_than_there_are_is_refused(fixture_model: Path) -> None:
    error = refused(untrained, configured("last_layers", layers=3), "policy", fixture_model)
    assert error.code == "bad_config" and "2 layers" in error.message


def test_targets_that_the_model_does_not_have_are_refused(fixture_model: Path) -> None:
    for targets in ("q_proj,w_q", "lm_head"):
        error = refused(untrained, configured("qlora", targets=targets), "policy", fixture_model)
        assert error.code == "bad_config" and "down_proj" in error.hint
    with pytest.raises(RecipeError, match="separated by commas") as caught:
        load("reward", {"targets": "q_proj v_proj"})
    assert caught.value.field == "targets"


def test_layers_that_cannot_be_kept_in_4_bits_are_refused(gpt2_model: Path) -> None:
    error = refused(untrained, configured("qlora"), "policy", gpt2_model)
    assert error.code == "unsupported_model" and "Conv1D" in error.message


def test_an_encoder_that_takes_no_keys_and_values_is_refused() -> None:
    small = DistilBertConfig(vocab_size=99, dim=16, hidden_dim=16, n_layers=1, n_heads=2, max_position_embeddings=64)
    for adapter in ("prefix", "p_tuning_v2"):
        error = refused(apply_adapter, DistilBert(small), configured(adapter), "reward")
        assert error.code == "unsupported_model" and "keys and values" in error.message


def test_a_model_whose_layers_have_unknown_names_is_refused_by_methods_that_ask_for_names() -> None:
    class Strange(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)

    error = refused(place, Strange(), KEYS_AND_VALUES, "keys and values")
    assert error.code == "unsupported_model" and "first" in error.message


def test_virtual_tokens_that_leave_too_little_of_the_context_are_refused(gpt2_model: Path) -> None:
    config = load("reward", {"adapter": "prompt_tuning", "max_length": 1020, "virtual_tokens": 5})
    error = refused(untrained, config, "reward", gpt2_model)
    assert error.code == "bad_config" and "1019" in error.hint
    fits = load("reward", {"adapter": "prompt_tuning", "max_length": 1019, "virtual_tokens": 5})
    assert parameter_counts(untrained(fits, "reward", gpt2_model))["trainable"] == 5 * 64 + 64


def test_a_loaded_model_tells_the_context_that_its_virtual_tokens_leave(gpt2_model: Path, tmp_path: Path) -> None:
    one = train_briefly("prompt_tuning", "policy", gpt2_model, tmp_path / "artifact")
    model = one.reloaded()
    assert context_of(model) == 1024 - 5
    longest = [5] * context_of(model)
    assert one.outcome_of(model, [longest]).isfinite().all()
    with model.disable_adapter():
        assert context_of(model) == 1024


def test_a_text_that_fills_what_virtual_tokens_leave_is_scored(gpt2_model: Path, tmp_path: Path) -> None:
    """By the playground as by training and evaluation; one token more is refused, not cut."""
    model = train_briefly("prompt_tuning", "reward", gpt2_model, tmp_path / "artifact").reloaded()
    scorer = Scorer(model, AutoTokenizer.from_pretrained(gpt2_model))
    chat = [{"role": "user", "content": "How?"}]
    empty = len(encode(scorer.tokenizer, chat, "").ids)
    word = scorer.tokenizer.decode([scorer.tokenizer.encode(" and")[0]])
    fits = word * (1019 - empty)
    assert len(encode(scorer.tokenizer, chat, fits).ids) == 1019
    assert scorer.after_each_sentence(chat, fits, lambda _: None)["tokens"] == 1019
    with pytest.raises(ModelError, match="1020 tokens, and the reward model's context is 1019"):
        scorer.after_each_sentence(chat, fits + word, lambda _: None)


def test_gradient_checkpointing_with_a_prefix_is_refused(fixture_model: Path) -> None:
    """The layers that are computed again would be given no prefix, and nothing would be said."""
    for variant in ("prefix", "p_tuning_v2"):
        model = untrained(configured(variant), "reward", fixture_model).train()
        model.get_base_model().gradient_checkpointing_enable()
        error = refused(hidden_states, model, pad([[1, 2, 3]], 0))
        assert error.code == "bad_config" and "checkpointing" in error.message
        assert hidden_states(model.eval(), pad([[1, 2, 3]], 0)).shape == (1, 3, 64)


@pytest.mark.parametrize("variant", ["lora", "qlora", "houlsby", "prefix", "prompt_tuning", "last_layers"])
def test_an_adapter_of_ours_on_a_base_it_was_not_made_for_is_refused(
    fixture_model: Path, qwen2_model: Path, gpt2_model: Path, variant: str, tmp_path: Path
) -> None:
    one = train_briefly(variant, "policy", fixture_model, tmp_path / "artifact")
    others = [qwen2_model, foreign_model(tmp_path / "v"), build_fixture_model(tmp_path / "deep", layers=3)]
    for other in (*others, *([] if variant == "qlora" else [gpt2_model])):
        assert refused(speaker, other, one.artifact).code == "wrong_base"


def test_an_adapter_of_ours_is_refused_once_its_base_has_other_weights(fixture_model: Path, tmp_path: Path) -> None:
    """The same model by its config.json, and by where it lies; however the files are cut, the weights decide."""
    base = build_fixture_model(tmp_path / "base")
    one = train_briefly("lora", "policy", base, tmp_path / "artifact")
    AutoModelForCausalLM.from_pretrained(base).save_pretrained(base, max_shard_size="50KB")
    (base / "model.safetensors").unlink()
    assert torch.allclose(one.outcome(one.reloaded()), one.outcome(one.model), atol=1e-5)
    assert refused(speaker, build_fixture_model(base, seed=1), one.artifact).code == "wrong_base"


@pytest.mark.parametrize("variant", ["lora", "ia3", "prompt_tuning", "prefix"])
def test_an_adapter_from_elsewhere_that_does_not_fit_is_refused(
    fixture_model: Path, variant: str, tmp_path: Path
) -> None:
    """Without our note about its model only the shapes tell; PEFT itself would pass over what has no place."""
    one = train_briefly(variant, "policy", fixture_model, tmp_path / "artifact")
    (one.artifact / "made_for.json").unlink()
    assert torch.allclose(one.outcome(one.reloaded()), one.outcome(one.model), atol=1e-5)
    shallow, wide = build_fixture_model(tmp_path / "shallow", layers=1), tmp_path / "wide"
    settings = AutoModelForCausalLM.from_pretrained(fixture_model).config
    settings.hidden_size, settings.intermediate_size = 32, 64
    AutoModelForCausalLM.from_config(settings).save_pretrained(wide)
    for other in (shallow, *([] if variant == "prefix" else [wide])):  # as wide are the keys and values of both
        assert refused(speaker, other, one.artifact).code == "wrong_base"


def test_an_adapter_with_a_weight_too_few_is_refused(fixture_model: Path, tmp_path: Path) -> None:
    one = train_briefly("lora", "policy", fixture_model, tmp_path / "artifact")
    path = one.artifact / "adapter_model.safetensors"
    weights = load_file(path)
    weights.pop(sorted(weights)[0])
    save_file(weights, path)
    note_weights(one.artifact)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert refused(one.reloaded).code == "wrong_base"


def test_selected_weights_of_another_shape_are_refused(fixture_model: Path, tmp_path: Path) -> None:
    one = train_briefly("last_layers", "policy", fixture_model, tmp_path / "artifact")
    path = one.artifact / "adapter_model.safetensors"
    for weights in ({"model.norm.weight": torch.zeros(3)}, {"model.nowhere.weight": torch.zeros(64)}):
        save_file(weights, path)
        note_weights(one.artifact)
        assert refused(one.reloaded).code == "wrong_base"


def test_a_note_that_cannot_be_read_is_told(fixture_model: Path, tmp_path: Path) -> None:
    one = train_briefly("lora", "policy", fixture_model, tmp_path / "artifact")
    for text in ("{", "[]", "{}"):
        (one.artifact / "made_for.json").write_text(text)
        assert refused(one.reloaded).code == "broken_artifact"


def note_weights(artifact: Path) -> None:
    """Let the manifest know the weights that are there now."""
    manifest = json.loads((artifact / "manifest.json").read_text())
    (artifact / "manifest.json").write_text(json.dumps({**manifest, "weights_sha256": weights_sha256(artifact)}))


@pytest.mark.parametrize("last", ["houlsby", "prompt_tuning", "prefix", "qlora", "lora"])
@pytest.mark.parametrize("first", ["qlora", "last_layers"])
def test_a_chain_is_merged_up_to_its_last_adapter(fixture_model: Path, first: str, last: str, tmp_path: Path) -> None:
    """A model trained on top of another gives the same logits when the two adapters are loaded again."""
    below = train_briefly(first, "policy", fixture_model, tmp_path / "below")
    ids = below.sequences()
    merged = load_policy(below.spec, cache=fixture_model, device=choose_device())
    merged.save_pretrained(tmp_path / "merged")  # so that what was merged can be a base like any other
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (fixture_model / name).exists():
            shutil.copy(fixture_model / name, tmp_path / "merged" / name)
    top = train_briefly(last, "policy", tmp_path / "merged", tmp_path / "top")
    made_for = json.loads((top.artifact / "made_for.json").read_text())
    # The copy has other files than the model that was merged; a run trains on the chain itself.
    assert made_for.pop("weights")
    (top.artifact / "made_for.json").write_text(json.dumps(made_for))
    with torch.no_grad():
        found = top.outcome_of(speaker(fixture_model, below.artifact, top.artifact), ids)
        assert torch.allclose(found, top.outcome_of(top.model, ids), atol=1e-4)


def test_an_adapter_that_cannot_be_merged_may_only_be_the_last(fixture_model: Path, tmp_path: Path) -> None:
    below = train_briefly("prompt_tuning", "policy", fixture_model, tmp_path / "below")
    top = train_briefly("lora", "reward", fixture_model, tmp_path / "top")
    assert refused(speaker, fixture_model, below.artifact, below.artifact).code == "adapter_not_mergeable"
    chain = ModelSpec(str(fixture_model), (str(below.artifact), str(top.artifact)))
    error = refused(load_reward_model, chain, cache=fixture_model, device=choose_device())
    assert error.code == "adapter_not_mergeable"
