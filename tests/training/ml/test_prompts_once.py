"""Computing a prompt once for all that follows it changes nothing: same losses, same scores, same gradients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from tests.training.ml.families import build_family
from tests.training.ml.references import reference_of
from tests.training.ml.trained import VARIANTS, configured, untrained
from training.ml import logprobs, scoring
from training.ml.dpo import direct_preference
from training.ml.encoder import on_encoder
from training.ml.kto import texts, unpaired_preference
from training.ml.loop import Objective
from training.ml.orpo import odds_ratio_preference
from training.ml.pairs import Pair
from training.ml.prompts_once import worthwhile_rows
from training.ml.reward_objective import by_model, preference_likelihood
from training.ml.simpo import simple_preference
from training.ml.token_logps import both_sides
from training.ml.votes import Vote
from training.recipes.dpo import DPOConfig
from training.recipes.kto import KTOConfig
from training.recipes.orpo import ORPOConfig
from training.recipes.reward import RewardConfig
from training.recipes.shared_rows import FAMILIES
from training.recipes.simpo import SimPOConfig

pytestmark = pytest.mark.not_db
LENGTHS = [(9, 4, 6), (9, 7, 2), (14, 3, 3), (5, 8, 1)]  # of prompt, chosen and rejected response


def pairs() -> list[Pair]:
    draw = torch.Generator().manual_seed(3)
    found = []
    for number, lengths in enumerate(LENGTHS):
        prompt, chosen, rejected = (torch.randint(3, 90, (n,), generator=draw).tolist() for n in lengths)
        found.append(Pair(str(number), [], "", "", [3, 4, 5, *prompt], chosen, rejected))
    same = found[0]  # a third response to the first prompt
    return [*found, Pair("4", [], "", "", same.prompt_ids, same.rejected_ids, [8, 9])]


def votes() -> list[Vote]:
    return [
        Vote(f"{pair.id}{sign}", pair.prompt_ids, response, sign)
        for pair in pairs()
        for sign, response in ((True, pair.chosen_ids), (False, pair.rejected_ids))
    ]


def each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rows: what was computed before there were any."""
    for room in (logprobs, scoring):
        monkeypatch.setattr(room, "worthwhile_rows", lambda *_: None)


def rows_are_made(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Filled with whether rows were made, call by call."""
    made: list[bool] = []
    for room in (logprobs, scoring):
        monkeypatch.setattr(room, "worthwhile_rows", _watched(room, made))
    return made


def _watched(room: ModuleType, made: list[bool]) -> Callable:
    real = room.worthwhile_rows

    def watched(*arguments: object) -> object:
        rows = real(*arguments)
        made.append(rows is not None)
        return rows

    return watched


def learned(model: nn.Module, objective: Objective, batch: list) -> tuple[Tensor, dict[str, Tensor]]:
    model.zero_grad()
    losses = objective(batch).losses
    losses.sum().backward()
    named = model.named_parameters()
    return losses.detach(), {name: weight.grad.clone() for name, weight in named if weight.grad is not None}


def assert_the_same(model: nn.Module, objective: Objective, batch: list, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        made = rows_are_made(patch)
        losses, gradients = learned(model, objective, batch)
        assert made and all(made), "it did read rows"
    with monkeypatch.context() as patch:
        each_alone(patch)
        expected, wanted = learned(model, objective, batch)
    assert torch.allclose(losses, expected, rtol=1e-5, atol=1e-5)
    assert gradients.keys() == wanted.keys() and gradients
    largest = max(gradient.abs().max().item() for gradient in wanted.values())
    assert largest > 1e-4
    for name, gradient in wanted.items():
        assert torch.allclose(gradients[name], gradient, rtol=1e-4, atol=1e-4 * largest), name


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_says_of_rows_what_it_says_of_texts(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_family(family)
    assert_the_same(model, simple_preference(model, SimPOConfig()), pairs(), monkeypatch)


@pytest.mark.parametrize("base", ["fixture_model", "qwen2_model", "gpt2_model"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_adapter_learns_the_same(
    base: str, variant: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if (variant, base) == ("bias", "fixture_model"):
        pytest.skip("a Llama has no biases")
    if variant.startswith("qlora") and base == "gpt2_model":
        pytest.skip("4 bits are for linear layers")
    path = request.getfixturevalue(base)
    config = configured(variant)
    policy = moved(untrained(config, "policy", path))
    reference = reference_of(policy, both_sides(pairs()), tmp_path)
    assert_the_same(policy, direct_preference(policy, reference, DPOConfig()), pairs(), monkeypatch)
    judge = moved(untrained(config, "reward", path))
    assert_the_same(judge, preference_likelihood(by_model(judge, 0), RewardConfig(), 0, None), pairs(), monkeypatch)


def moved(model: nn.Module) -> nn.Module:
    """Adapters that begin as nothing would hide what is wrong with them."""
    torch.manual_seed(1)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data += 0.05 * torch.randn_like(weight)
    return model


@pytest.mark.parametrize("recipe", ["orpo", "simpo", "kto"])
def test_every_recipe_learns_the_same(
    recipe: str, fixture_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    policy = moved(untrained(configured("lora"), "policy", fixture_model))
    if recipe == "kto":
        reference = reference_of(policy, texts(votes()), tmp_path)
        monkeypatch.setattr("training.ml.kto.estimated_kl", lambda *_: torch.tensor(0.1))  # its texts share no prompt
        objective = unpaired_preference(policy, reference, None, KTOConfig(), 100)
    else:
        made = {"orpo": odds_ratio_preference, "simpo": simple_preference}[recipe]
        objective = made(policy, {"orpo": ORPOConfig(), "simpo": SimPOConfig()}[recipe])
    assert_the_same(policy, objective, votes() if recipe == "kto" else pairs(), monkeypatch)


def test_checkpointed_activations_are_computed_again_the_same(
    fixture_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = moved(untrained(configured("lora"), "policy", fixture_model)).train()
    policy.get_base_model().activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    assert_the_same(policy, simple_preference(policy, SimPOConfig()), pairs(), monkeypatch)


def test_what_cannot_read_rows_reads_text_by_text() -> None:
    sequences, groups = [[3, 4, 5, 6], [3, 4, 5, 7, 8]], [0, 0]
    assert worthwhile_rows(build_family("llama"), sequences, groups) is not None
    assert worthwhile_rows(build_family("mistral", sliding_window=4), sequences, groups) is None
    windows = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}
    assert worthwhile_rows(build_family("qwen2", **windows), sequences, groups) is None
    assert worthwhile_rows(build_family("granite"), sequences, groups) is None, "it scales its logits"
    eager = build_family("llama")
    eager.set_attn_implementation("eager")
    assert worthwhile_rows(eager, sequences, groups) is None
    encoder = on_encoder(BertModel(BertConfig(vocab_size=97, hidden_size=32, num_attention_heads=4)))
    assert worthwhile_rows(encoder, sequences, groups) is None


def test_what_shares_nothing_is_padded() -> None:
    model = build_family("llama")
    assert worthwhile_rows(model, [[3, 4, 5, 6], [7, 8, 9, 10]], [0, 1]) is None
    assert worthwhile_rows(model, [[3, 4, 5, 6]], [0]) is None
