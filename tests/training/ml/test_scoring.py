"""A reward depends on the conversation alone: not on padding side, batch, order, or which token pads."""

from pathlib import Path

import pytest
import torch

from training.ml.batching import pad
from training.ml.chat import encode
from training.ml.device import choose_device
from training.ml.job import ModelSpec
from training.ml.load import load_reward_base, load_tokenizer
from training.ml.scoring import rewards, score

TEXTS = [
    ([{"role": "user", "content": "How do I bake bread?"}], "First, mix flour and water."),
    ([{"role": "user", "content": "Hi"}], "Yes."),
    ([{"role": "user", "content": "Plan a day in the mountains, please, with a walk."}], "Get up early. " * 9),
    ([{"role": "user", "content": "什么是重力?"}], ""),
]


@pytest.fixture(scope="module", params=["own pad", "pad is eos"])
def judge(request, fixture_model, fixture_model_pad_is_eos, tmp_path_factory):
    path: Path = fixture_model if request.param == "own pad" else fixture_model_pad_is_eos
    spec, cache = ModelSpec(str(path)), tmp_path_factory.mktemp("cache")
    torch.manual_seed(0)
    model = load_reward_base(spec, cache=cache, device=choose_device())
    # A head as drawn gives scores near 0, where every difference would pass for none.
    model.score.weight.data.mul_(50)
    return model, load_tokenizer(spec, cache=cache)


@pytest.fixture(scope="module")
def alone(judge):
    """Each text scored by itself, where no padding can be."""
    model, tokenizer = judge
    found = []
    for messages, text in TEXTS:
        ids = torch.tensor([encode(tokenizer, messages, text).ids])
        with torch.no_grad():
            found.append(model.score(model.model(ids).last_hidden_state[0, -1]).item())
    assert max(found) - min(found) > 0.1
    return found


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_a_score_is_the_same_in_any_batch(judge, alone, batch_size):
    assert score(*judge, TEXTS, batch_size) == pytest.approx(alone, abs=1e-5)


def test_a_score_is_the_same_in_any_order(judge, alone):
    assert score(*judge, TEXTS[::-1], 3) == pytest.approx(alone[::-1], abs=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_score_is_the_same_at_any_padding_side(judge, alone, side):
    model, tokenizer = judge
    sequences = [encode(tokenizer, messages, text).ids for messages, text in TEXTS]
    with torch.no_grad():
        found = rewards(model, pad(sequences, tokenizer.pad_token_id, side)).tolist()
    assert found == pytest.approx(alone, abs=1e-5)


def test_a_gradient_reaches_the_head(judge):
    model, tokenizer = judge
    batch = pad([encode(tokenizer, *TEXTS[0]).ids], tokenizer.pad_token_id)
    rewards(model, batch).sum().backward()
    assert model.score.weight.grad.abs().sum() > 0
    model.zero_grad()
