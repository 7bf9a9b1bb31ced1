"""Every adapter method, for policies and reward models: it learns, it leaves the base alone, and what is saved of it is
what was trained."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM

from tests.training.ml.trained import (
    MERGEABLE,
    SMALL,
    VARIANTS,
    Trained,
    bare,
    configured,
    outcome,
    train_briefly,
    untrained,
)
from training.ml import first_prefix
from training.ml.adapters import adapter_off, parameter_counts
from training.ml.batching import pad
from training.ml.decoding import Drawing, complete
from training.ml.device import choose_device
from training.ml.errors import ModelError
from training.ml.frozen_norm import norm_in_few_passes
from training.ml.lean_attention import attend_lean
from training.ml.load import load_policy, load_reward_base
from training.ml.logprobs import completion_logits
from training.ml.scoring import rewards

Train = Callable[[str, str], Trained]
EVERY = pytest.mark.parametrize("variant", list(VARIANTS))
BESIDE = pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "full"])
BY_PEFT = pytest.mark.parametrize(
    "variant", [name for name in VARIANTS if name not in ("full", "last_layers", "bias", "houlsby")]
)
TASKS = pytest.mark.parametrize("task", ["policy", "reward"])


@pytest.fixture(scope="module")
def trained(fixture_model: Path, qwen2_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Each method and task is trained once."""
    made: dict[tuple[str, str], Trained] = {}
    directory = tmp_path_factory.mktemp("trained")

    def train(variant: str, task: str) -> Trained:
        if (variant, task) not in made:
            base = qwen2_model if variant == "bias" else fixture_model  # a Llama has no biases
            made[variant, task] = train_briefly(variant, task, base, directory / f"{variant}-{task}")
        return made[variant, task]

    return train


@EVERY
@TASKS
def test_what_is_trained_changes_and_nothing_else_does(trained: Train, variant: str, task: str) -> None:
    one = trained(variant, task)
    for name, weight in one.model.named_parameters():
        same = torch.equal(weight, one.started[name])
        assert same == (not weight.requires_grad), name


@BESIDE
@TASKS
def test_switched_off_it_is_the_base(trained: Train, variant: str, task: str) -> None:
    one = trained(variant, task)
    before = one.outcome(one.model)
    with adapter_off(one.model) as frozen, torch.no_grad():
        off = one.outcome(frozen)
        assert torch.allclose(off, one.outcome(one.bare()), atol=1e-6)
    assert (off - before).abs().max() > 0.05
    assert torch.equal(one.outcome(one.model), before)


@EVERY
@TASKS
def test_reloaded_it_computes_the_same(trained: Train, variant: str, task: str) -> None:
    one = trained(variant, task)
    with torch.no_grad():
        found, expected = one.outcome(one.reloaded()), one.outcome(one.model)
    assert torch.allclose(found, expected, atol=1e-5)
    assert (one.outcome(one.fresh()) - expected).abs().max() > 0.05


@BY_PEFT
@TASKS
def test_plain_peft_computes_the_same_from_the_files(trained: Train, variant: str, task: str) -> None:
    """On texts without padding, by PEFT's own forward and classification head."""
    one = trained(variant, task)
    plain = peft.PeftModel.from_pretrained(one.bare(), one.artifact).eval()
    for ids in one.sequences():
        with torch.no_grad():
            theirs = plain(input_ids=torch.tensor([ids])).logits[0]
            ours = outcome(one.model, task, [ids])
        theirs = theirs[-len(ids) : -1] if task == "policy" else theirs
        assert torch.allclose(ours, theirs, atol=1e-5)


@EVERY
@pytest.mark.parametrize("eos", [True, False], ids=["with EOS", "without EOS"])
def test_a_score_does_not_depend_on_side_batch_or_order(trained: Train, variant: str, eos: bool) -> None:
    one = trained(variant, "reward")
    sequences = one.sequences(eos=eos)
    with torch.no_grad():
        alone = torch.cat([rewards(one.model, pad([ids], 0)) for ids in sequences])
        assert alone.std() > 1e-3
        for side in ("left", "right"):
            together = rewards(one.model, pad(sequences, 0, side))
            turned = rewards(one.model, pad(sequences[::-1], 2, side)).flip(0)
            assert torch.allclose(together, alone, atol=1e-5)
            assert torch.allclose(turned, alone, atol=1e-5)


@EVERY
def test_a_likelihood_does_not_depend_on_the_batch(trained: Train, variant: str) -> None:
    one = trained(variant, "policy")
    pairs = [(ids[:-4], ids[-4:]) for ids in one.sequences()]
    with torch.no_grad():
        alone = torch.cat([completion_logits(one.model, [pair])[0] for pair in pairs])
        together = completion_logits(one.model, pairs)[0]
    assert torch.allclose(together, alone, atol=1e-5)


@EVERY
@pytest.mark.parametrize("copies", [1, 2])
def test_it_writes_what_its_likelihoods_say(trained: Train, variant: str, copies: int) -> None:
    """Greedy decoding with the cache of keys and values takes the token that the whole forward pass finds likeliest."""
    model = trained(variant, "policy").reloaded()
    prompts = [ids[:length] for ids, length in zip(trained(variant, "policy").sequences(), (9, 3, 14, 5), strict=True)]
    drawing = Drawing(temperature=0, top_p=1.0, max_new_tokens=6)
    seeds = [list(range(copies)) for _ in prompts]
    for written in complete(model, prompts, seeds, stop=frozenset(), pad_id=0, drawing=drawing):
        prompt = prompts[written.row // copies]
        with torch.no_grad():
            logits = completion_logits(model, [(prompt, written.ids)])[0]
        assert logits.argmax(dim=1).tolist() == written.ids


@pytest.mark.parametrize("variant", MERGEABLE)
def test_merged_it_computes_the_same_and_is_a_plain_model(trained: Train, variant: str) -> None:
    one = trained(variant, "policy")
    merged = load_policy(one.spec, cache=one.base, device=choose_device())
    assert not isinstance(merged, peft.PeftModel)
    assert type(merged) is type(AutoModelForCausalLM.from_pretrained(one.base))
    assert {weight.dtype for weight in merged.parameters()} == {torch.float32}
    with torch.no_grad():
        assert torch.allclose(one.outcome(merged), one.outcome(one.model), atol=1e-4)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name not in (*MERGEABLE, "full")])
def test_what_cannot_be_merged_is_refused_with_the_reason(trained: Train, variant: str) -> None:
    one = trained(variant, "policy")
    with pytest.raises(ModelError, match="cannot be merged") as caught:
        load_policy(one.spec, cache=one.base, device=choose_device())
    assert caught.value.code == "adapter_not_mergeable"
    assert caught.value.values["name"] == one.config.adapter
    with pytest.raises(ModelError, match="cannot be merged"):
        load_reward_base(one.spec, cache=one.base, device=choose_device())


# The fixture: 2 layers of width 64, keys and values 32 wide, feed-forward 128, vocabulary 800 at most.
BLOCK = 64 * 64 * 2 + 64 * 32 * 2 + 64 * 128 * 3 + 2 * 64
LORA = 4 * ((64 + 64) * 2 + (64 + 32) * 2 + (64 + 128) * 3) * 2
COUNTS = {
    "lora": LORA,
    "lora-rslora": LORA,
    "lora-dora": LORA + 2 * (64 * 2 + 32 * 2 + 128 * 2 + 64),  # a magnitude for each output
    "qlora": LORA,
    "qlora-dora": LORA + 2 * (64 * 2 + 32 * 2 + 128 * 2 + 64),
    "ia3": 2 * (32 + 32 + 128),  # keys, values, inner activation
    "houlsby": 2 * 2 * (64 * 8 * 2 + 8 + 64),  # two a layer, with biases
    "prefix": 5 * 32 + (32 * 16 + 16) + (16 * 128 + 128),  # an embedding and an MLP to keys and values of both layers
    "p_tuning_v2": 5 * 2 * 2 * 32,
    "p_tuning-mlp": 5 * 64 + (64 * 16 + 16) + (16 * 16 + 16) + (16 * 64 + 64),
    "prompt_tuning": 5 * 64,
    "last_layers": BLOCK + 64,  # and the final norm; the head is the embedding
    "bias": 2 * (64 + 32 + 32),  # of Qwen2: queries, keys, values
}


@pytest.mark.parametrize("variant", list(COUNTS))
def test_so_many_parameters_are_trained(trained: Train, variant: str) -> None:
    found = {task: parameter_counts(trained(variant, task).model) for task in ("policy", "reward")}
    assert found["policy"]["trainable"] == COUNTS[variant]
    assert found["reward"]["trainable"] == COUNTS[variant] + 64  # the head that scores


def test_packed_weights_are_counted_as_what_they_stand_for(trained: Train) -> None:
    assert parameter_counts(trained("qlora", "policy").model) == parameter_counts(trained("lora", "policy").model)


@pytest.mark.parametrize("variant", ["prefix", "p_tuning-mlp", "p_tuning-lstm", "prompt_tuning", "p_tuning_v2"])
def test_what_makes_the_virtual_tokens_is_saved_beside_them(trained: Train, variant: str) -> None:
    one = trained(variant, "policy")
    saved = load_file(one.artifact / "prompt_encoder.safetensors")
    encoder = one.fresh(seed=5).prompt_encoder["default"]
    encoder.load_state_dict(saved)
    with torch.no_grad():
        made = encoder(torch.arange(SMALL["virtual_tokens"])[None])[0]
    kept = load_file(one.artifact / "adapter_model.safetensors")["prompt_embeddings"]
    assert torch.allclose(made, kept, atol=1e-6)


def test_a_houlsby_adapter_is_the_identity_until_it_is_trained(trained: Train) -> None:
    """To the last bit, of a model whose layers compute as those beside the adapter do."""
    one = trained("houlsby", "policy")
    bare = one.bare().requires_grad_(False)
    norm_in_few_passes(bare)
    attend_lean(bare)
    assert torch.equal(one.outcome(one.fresh()), one.outcome(bare))


@pytest.mark.parametrize("base", ["fixture_model", "gpt2_model"])
def test_keys_and_values_before_the_text_begin_as_those_of_words(
    base: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first step the model reads a text as if these words stood before it."""
    words, path = [7, 300, 41, 5, 99], request.getfixturevalue(base)
    monkeypatch.setattr(first_prefix.torch, "randint", lambda high, size: torch.tensor([words]))
    config = configured("p_tuning_v2")
    found = outcome(untrained(config, "policy", path), "policy", [[50, 60, 70, 2]])
    read = bare(config, "policy", path)(torch.tensor([[*words, 50, 60, 70, 2]])).logits[0, 5:-1]
    assert torch.allclose(found, read, atol=1e-5)


def test_nothing_warns_that_an_adapter_was_loaded_in_part(trained: Train) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert isinstance(trained("prefix", "reward").reloaded(), nn.Module)
