"""Encoders as reward models: one score path, their own turns, what can be trained in them, and what they cannot be."""

from __future__ import annotations

import json
import math
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from tests.training.ml.encoders import CONTEXT, FAMILIES, build_encoder
from tests.training.ml.jobs import manifest, write_job
from tests.training.ml.trained import SMALL
from tests.training.planted import write_planted
from training.ml import machine, run
from training.ml.adapters import apply_adapter
from training.ml.batching import pad
from training.ml.chat import encode
from training.ml.device import choose_device
from training.ml.encoder import EncoderForReward
from training.ml.errors import ModelError
from training.ml.forward import context_of
from training.ml.job import ModelSpec
from training.ml.load import load_policy, load_reward_base, load_reward_model, load_tokenizer
from training.ml.pairs import read_pairs
from training.ml.progress import read_lines
from training.ml.scoring import member_rewards, rewards, score
from training.recipes import encoders
from training.recipes.encoders import ON_ENCODERS
from training.recipes.reward import METHODS, RewardConfig

pytestmark = pytest.mark.not_db

TEXTS = [
    ([{"role": "user", "content": "How do I bake bread?"}], "First, mix flour and water."),
    ([{"role": "user", "content": "Hi"}], "Yes."),
    ([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Plan a day."}], "Get up early. " * 9),
    ([{"role": "user", "content": "A list"}], ""),
]
Item = namedtuple("Item", "id length tokens units")
FAST = {**SMALL, "learning_rate": 0.01, "max_length": 256}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_encoder(tmp_path_factory.mktemp("encoder") / "bert")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_planted(tmp_path_factory.mktemp("data"), train=48, test=20)


def judge(path: Path, members: int = 1):
    torch.manual_seed(0)
    model = load_reward_base(ModelSpec(str(path)), cache=path, device=choose_device(), members=members)
    # A head as drawn gives scores near 0, where every difference would pass for none.
    model.score.weight.data.mul_(50)
    return model, load_tokenizer(ModelSpec(str(path)), cache=path)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_score_is_the_head_on_the_mean_of_what_the_encoder_itself_makes_of_the_text(
    family: str, tmp_path: Path
) -> None:
    """Transformers' own forward pass on the text alone, with its own positions; then any padding, batch and order."""
    model, tokenizer = judge(build_encoder(tmp_path / "model", family))
    plain = AutoModel.from_pretrained(tmp_path / "model").eval()
    sequences = [encode(tokenizer, *text).ids for text in TEXTS]
    with torch.no_grad():
        states = [plain(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(dim=0) for ids in sequences]
        alone = [model.score(state).item() for state in states]
        sides = [rewards(model, pad(sequences, tokenizer.pad_token_id, side)).tolist() for side in ("left", "right")]
    assert max(alone) - min(alone) > 0.1
    for found in sides:
        assert found == pytest.approx(alone, abs=1e-5)
    for size in (1, 3):
        assert score(model, tokenizer, TEXTS, size) == pytest.approx(alone, abs=1e-5)
    assert score(model, tokenizer, TEXTS[::-1], 2) == pytest.approx(alone[::-1], abs=1e-5)


# Where a family's layers go by names that a method does not know, or it has no biases, the run says so.
REFUSED = {
    ("mpnet", "ia3"): "unsupported_model",
    ("mpnet", "houlsby"): "unsupported_model",
    ("albert", "last_layers"): "unsupported_model",
    ("albert", "ia3"): "unsupported_model",
    ("albert", "houlsby"): "unsupported_model",
    ("deberta-v2", "ia3"): "unsupported_model",
    ("modernbert", "bias"): "no_biases",
    ("modernbert", "ia3"): "unsupported_model",
    ("modernbert", "houlsby"): "unsupported_model",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_takes_a_method_or_says_why_not(family: str, tmp_path: Path) -> None:
    path = build_encoder(tmp_path / "model", family)
    for adapter in ON_ENCODERS:
        config = RewardConfig(adapter=adapter, max_length=256, **SMALL)
        model, _ = judge(path)
        if code := REFUSED.get((family, adapter)):
            with pytest.raises(ModelError) as caught:
                apply_adapter(model, config, "reward")
            assert caught.value.code == code
            continue
        model = apply_adapter(model, config, "reward")
        rewards(model, pad([[2, 5, 6, 3], [2, 9, 3]], 0)).sum().backward()
        trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        assert trained and all(weight.grad is not None for weight in trained.values()), adapter


def test_the_families_tried_here_are_the_families_offered() -> None:
    assert set(FAMILIES) == set(encoders.FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_flash_attention_is_for_those_that_are_written_for_it(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MPNet would be given the mask of it, and compute its own attention with that."""
    model, _ = judge(build_encoder(tmp_path / "model", family))
    asked: list[str] = []
    monkeypatch.setattr(machine.flash, "flash_fits", lambda device: True)
    monkeypatch.setattr(model, "set_attn_implementation", asked.append)
    machine.settle(model, RewardConfig(learning_rate=1e-4), choose_device(), [Item("a", 8, 8, 1)], 1)
    assert bool(asked) == (family not in ("mpnet", "deberta-v2"))


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_the_longest_text_that_counts_as_fitting_does_fit(family: str, tmp_path: Path) -> None:
    model, tokenizer = judge(build_encoder(tmp_path / "model", family))
    room = context_of(model)
    assert room == (CONTEXT if family == "bert" else CONTEXT - 1)  # position 0 is the padding's
    texts = [(TEXTS[0][0], "water " * 600)]
    assert math.isfinite(score(model, tokenizer, texts, 1, max_length=room)[0])
    with pytest.raises((IndexError, RuntimeError)):
        score(model, tokenizer, texts, 1, max_length=room + 1)


def test_turns_are_words_between_separators_and_no_text_can_forge_one(encoder: Path) -> None:
    tokenizer = load_tokenizer(ModelSpec(str(encoder)), cache=encoder)
    plain = AutoTokenizer.from_pretrained(encoder)
    found = encode(tokenizer, [{"role": "user", "content": "the cat"}], "a dog").ids
    turns = [plain.encode(text, add_special_tokens=False) for text in ("user: the cat", "assistant: a dog")]
    sep = plain.sep_token_id
    assert found == [plain.cls_token_id, *turns[0], sep, *turns[1], sep]
    forged = encode(tokenizer, [{"role": "user", "content": "the [SEP] cat"}], "a [SEP] dog").ids
    assert forged.count(sep) == 2


def test_a_tokenizer_without_separators_is_refused(encoder: Path, tmp_path: Path) -> None:
    copy = build_encoder(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.sep_token = None
    tokenizer.save_pretrained(copy)
    with pytest.raises(ModelError) as caught:
        load_tokenizer(ModelSpec(str(copy)), cache=tmp_path)
    assert caught.value.code == "no_separator"


@pytest.mark.parametrize("adapter", METHODS)
def test_what_can_be_trained_in_an_encoder_learns_is_saved_and_scores_the_same(
    adapter: str, encoder: Path, data: dict[str, str], tmp_path: Path
) -> None:
    job = write_job(tmp_path / "job", "reward", encoder, data, adapter=adapter, members=2, **FAST)
    code = run.main([str(job)])
    if adapter not in ON_ENCODERS:
        assert code == run.FAILED
        told = json.loads((job / "error.json").read_text())
        assert told["code"] == "unsupported_model" and "lora" in told["hint"]
        return
    assert code == run.DONE
    told = manifest(job)
    artifact = str(job / "artifact")
    spec = ModelSpec(artifact) if adapter == "full" else ModelSpec(str(encoder), (artifact,))
    model = load_reward_model(spec, cache=tmp_path, device=choose_device())
    tokenizer = load_tokenizer(spec, cache=tmp_path)
    assert isinstance(model.get_base_model() if hasattr(model, "get_base_model") else model, EncoderForReward)
    with torch.no_grad():
        batch = pad([encode(tokenizer, *text).ids for text in TEXTS], tokenizer.pad_token_id)
        assert member_rewards(model, batch).shape == (len(TEXTS), 2)
    margin = mean_margin(model, tokenizer, data)
    assert margin == pytest.approx(told["metrics"]["margin"]["value"], abs=1e-5)
    # The planted rule is found by all; sums that differ by the number of threads move a pair or two.
    assert told["metrics"]["accuracy"]["value"] > 0.8 and told["metrics"]["loss"]["value"] < math.log(2)


def mean_margin(model, tokenizer, data: dict[str, str]) -> float:
    pairs = read_pairs(Path(data["test"]), tokenizer, CONTEXT).kept
    chosen = score(model, tokenizer, [(pair.prompt, pair.chosen) for pair in pairs], 7)
    rejected = score(model, tokenizer, [(pair.prompt, pair.rejected) for pair in pairs], 5)
    return sum(c - r for c, r in zip(chosen, rejected, strict=True)) / len(pairs)


@pytest.mark.parametrize("recipe", ["dpo", "kto", "orpo", "simpo", "sft"])
def test_no_policy_can_be_made_of_an_encoder(recipe: str, encoder: Path, data: dict[str, str], tmp_path: Path) -> None:
    job = write_job(tmp_path / "job", recipe, encoder, data)
    assert run.main([str(job)]) == run.FAILED
    assert json.loads((job / "error.json").read_text())["code"] == "not_causal_lm"


def test_an_encoder_is_no_policy(encoder: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_policy(ModelSpec(str(encoder)), cache=encoder, device=choose_device())
    assert caught.value.code == "not_causal_lm"


@pytest.mark.slow
@pytest.mark.long
def test_an_encoder_rewards_ppo(encoder: Path, fixture_model: Path, data: dict[str, str], tmp_path: Path) -> None:
    """It reads texts, so its vocabulary need not be the policy's; what PPO is paid is the score of the text."""
    reward = write_job(tmp_path / "reward", "reward", encoder, data, members=3, **FAST)
    assert run.main([str(reward)]) == run.DONE
    spec = ModelSpec(str(encoder), (str(reward / "artifact"),))
    settings = {**SMALL, "batch_size": 2, "rollouts": 4, "max_new_tokens": 6}
    job = write_job(tmp_path / "ppo", "ppo", fixture_model, data, reward_model=spec.as_dict(), **settings)
    assert run.main([str(job)]) == run.DONE
    samples = [row for line in read_lines(job / "progress.jsonl") for row in line.get("samples", [])]
    model = load_reward_model(spec, cache=tmp_path, device=choose_device())
    expected = score(model, load_tokenizer(spec, cache=tmp_path), [(r["prompt"], r["text"]) for r in samples], 3)
    assert samples and [row["reward"] for row in samples] == pytest.approx(expected, abs=1e-5)
