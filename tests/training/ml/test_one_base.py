"""Models that differ only in an adapter stand on one base: loaded once, and nobody's texts and scores are others."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from tests.training.fixture_model import build_fixture_model
from tests.training.ml.test_sampling import make_job
from tests.training.ml.trained import Trained, train_briefly
from training.ml import one_base, sampling
from training.ml.device import Device, choose_device
from training.ml.job import Job, ModelSpec
from training.ml.one_base import Models
from training.ml.progress import read_lines
from training.recipes.one_base import NEW, OLD, REWARD, can_be_worn, trunk_of

pytestmark = pytest.mark.not_db
# Every kind that is put onto a model in another way. QLoRA learns beside other weights, `full` leaves another model,
# and what can be merged is merged in a model that answers.
SHARING = ["houlsby", "prefix", "p_tuning_v2", "p_tuning-mlp", "prompt_tuning", "last_layers"]
APART = ["lora", "lora-dora", "ia3", "qlora", "full"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_fixture_model(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def judge(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_briefly("lora", "reward", base, tmp_path_factory.mktemp("judge") / "artifact")


def spec_of(base: Path, *trained: Trained) -> ModelSpec:
    return ModelSpec(str(base), tuple(str(one.artifact) for one in trained))


def sampled(job: Job, new: ModelSpec, old: ModelSpec | None = None, reward: ModelSpec | None = None) -> dict:
    """{(prompt, model, index): (text, score)}, and what the run says of its backbones."""
    sampling.run(replace(job, model=new, reference_model=old, reward_model=reward))
    rows = list(read_lines(job.directory / "samples.jsonl"))
    found = {(row["prompt"], row["model"], row["index"]): (row["text"], row.get("score")) for row in rows}
    return found | {"sharing": json.loads((job.directory / "result.json").read_text())["sharing"]}


def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no two models had anything in common."""
    monkeypatch.setattr(one_base, "trunk_of", lambda models, can_wear: None)


def held(models: Iterable[nn.Module]) -> int:
    """Bytes of all parameters, each once."""
    storages = {weight.untyped_storage().data_ptr(): weight.untyped_storage().nbytes() for weight in weights(models)}
    return sum(storages.values())


def weights(models: Iterable[nn.Module]) -> list[nn.Parameter]:
    return [weight for model in models for weight in model.parameters()]


@pytest.mark.parametrize("variant", [*SHARING, *APART])
def test_texts_and_scores_are_those_of_models_that_are_loaded_apart(
    base: Path, judge: Trained, variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = train_briefly(variant, "policy", base, tmp_path / "policy")
    asked = (policy.spec, ModelSpec(str(base)), spec_of(base, judge))
    together = sampled(make_job(tmp_path / "together", base), *asked)
    apart(monkeypatch)
    alone = sampled(make_job(tmp_path / "alone", base), *asked)
    said = {name: found.pop("sharing") for name, found in {"together": together, "alone": alone}.items()}
    all_three = one_base.SHARED[(NEW, OLD, REWARD), 3]
    assert said["alone"] == one_base.APART
    assert said["together"] == (all_three if variant in SHARING else one_base.SHARED[(OLD, REWARD), 3])
    assert {key: text for key, (text, _) in together.items()} == {key: text for key, (text, _) in alone.items()}
    for key, (_, score) in together.items():
        assert score == pytest.approx(alone[key][1], abs=1e-5)
    bare = sampled(make_job(tmp_path / "bare", base), ModelSpec(str(base)))
    bare.pop("sharing")
    assert any(text != together[key][0] for key, (text, _) in bare.items()), "or an adapter nobody wears would pass"


@pytest.mark.parametrize("variant", ["houlsby", "prefix", "ia3", "lora"])
def test_a_reward_model_by_any_adapter_scores_as_it_does_alone(
    base: Path, variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also beside another kind on the policy."""
    scorer = train_briefly(variant, "reward", base, tmp_path / "scorer")
    policy = train_briefly("houlsby", "policy", base, tmp_path / "policy")
    asked = (policy.spec, None, scorer.spec)
    together = sampled(make_job(tmp_path / "together", base), *asked)
    apart(monkeypatch)
    alone = sampled(make_job(tmp_path / "alone", base), *asked)
    assert together.pop("sharing") == one_base.SHARED[(NEW, REWARD), 2] != alone.pop("sharing")
    assert [text for text, _ in together.values()] == [text for text, _ in alone.values()]
    assert [score for _, score in together.values()] == pytest.approx([score for _, score in alone.values()], abs=1e-5)


def test_of_a_model_with_biases_those_that_were_trained_are_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written into shared weights, they would be the other models' as well."""
    base = with_biases(tmp_path / "base")
    policy = train_briefly("bias", "policy", base, tmp_path / "policy")
    scorer = train_briefly("bias", "reward", base, tmp_path / "scorer")
    asked = (policy.spec, ModelSpec(str(base)), scorer.spec)
    together = sampled(make_job(tmp_path / "together", base), *asked)
    apart(monkeypatch)
    alone = sampled(make_job(tmp_path / "alone", base), *asked)
    assert together.pop("sharing") == one_base.SHARED[(NEW, OLD, REWARD), 3] != alone.pop("sharing")
    for key, (text, score) in together.items():
        assert (text, score) == (alone[key][0], pytest.approx(alone[key][1], abs=1e-5))


def with_biases(path: Path) -> Path:
    """The fixture with biases at its linear layers, as Qwen 2 and GPT-2 have them."""
    plain = build_fixture_model(path / "plain")
    config = LlamaConfig.from_pretrained(plain, attention_bias=True, mlp_bias=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(path / "biased")
    AutoTokenizer.from_pretrained(plain).save_pretrained(path / "biased")
    return path / "biased"


def test_one_with_another_base_stays_apart(base: Path, judge: Trained, tmp_path: Path) -> None:
    other = build_fixture_model(tmp_path / "other", seed=5)
    policy = train_briefly("prefix", "policy", base, tmp_path / "policy")
    found = sampled(make_job(tmp_path / "job", base), policy.spec, ModelSpec(str(other)), spec_of(base, judge))
    assert found["sharing"] == one_base.SHARED[(NEW, REWARD), 3]
    foreign = train_briefly("lora", "reward", other, tmp_path / "foreign")
    found = sampled(make_job(tmp_path / "again", base), policy.spec, ModelSpec(str(base)), foreign.spec)
    assert found["sharing"] == one_base.SHARED[(NEW, OLD), 3]
    alone = sampled(make_job(tmp_path / "single", base), policy.spec)
    assert alone["sharing"] == "", "of one model there is nothing to say"


def test_the_base_is_in_memory_once(base: Path, judge: Trained, tmp_path: Path) -> None:
    policy = train_briefly("prefix", "policy", base, tmp_path / "policy")
    specs = [policy.spec, ModelSpec(str(base)), spec_of(base, judge)]
    models = Models(specs, cache=base, device=choose_device())
    new, old, scorer = models.speaker(specs[0]), models.speaker(specs[1]), models.reward_model(specs[2])
    alone = held([old])
    added = [held([one]) - alone for one in (new, scorer)]
    assert all(0 < more < 0.5 * alone for more in added)
    assert held([new, old, scorer]) == alone + sum(added)


def test_what_was_merged_before_is_merged_once_for_all(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a round with fine-tuning: its product is the start of policy and reward model."""
    first = train_briefly("lora", "policy", base, tmp_path / "first")
    second = train_briefly("houlsby", "policy", base, tmp_path / "second")
    scorer = train_briefly("lora", "reward", base, tmp_path / "scorer")
    asked = (spec_of(base, first, second), spec_of(base, first), spec_of(base, first, scorer))
    together = sampled(make_job(tmp_path / "together", base), *asked)
    apart(monkeypatch)
    alone = sampled(make_job(tmp_path / "alone", base), *asked)
    assert together.pop("sharing") == one_base.SHARED[(NEW, OLD, REWARD), 3] != alone.pop("sharing")
    for key, (text, score) in together.items():
        assert (text, score) == (alone[key][0], pytest.approx(alone[key][1], abs=1e-5))


def test_in_bf16_where_nothing_is_merged_all_adapters_share(base: Path, judge: Trained, tmp_path: Path) -> None:
    bf16 = Device(torch.device("cpu"), torch.bfloat16, "as a GPU")
    lora = train_briefly("lora", "policy", base, tmp_path / "lora")
    bare, scorer = ModelSpec(str(base)), spec_of(base, judge)
    models = Models([lora.spec, bare, scorer], cache=base, device=bf16)
    alone = Models([lora.spec], cache=base, device=bf16)
    assert all(models.shares(spec) for spec in (lora.spec, bare, scorer)) and not alone.shares(lora.spec)
    ids = torch.tensor([[3, 4, 5, 6, 7]])
    with torch.inference_mode():
        found, wanted = (one.speaker(lora.spec)(ids).logits for one in (models, alone))
    assert torch.equal(found, wanted)


def test_what_most_of_them_stand_on_is_loaded_once() -> None:
    def wears(adapter: str) -> bool:
        return not adapter.startswith("packed")

    base = ("b", ())
    assert trunk_of([("b", ("x",)), base, ("b", ("y",))], wears) == base
    assert trunk_of([("b", ("s", "x")), ("b", ("s",)), ("b", ("s", "y"))], wears) == ("b", ("s",))
    assert trunk_of([("b", ("x",)), ("c", ())], wears) is None
    assert trunk_of([("b", ("packed",)), base], wears) is None
    assert trunk_of([("b", ("s", "x")), base], wears) is None, "two adapters are not worn at once"
    assert trunk_of([("b", ("x",))], wears) is None


@pytest.mark.parametrize(
    ("method", "single", "speaks", "worn"),
    [
        ("lora", True, False, True),
        ("lora", True, True, False),  # merged it draws faster
        ("lora", False, True, True),  # on bf16 weights nothing is merged
        ("lora", False, False, True),
        ("houlsby", False, True, True),
        ("qlora", True, False, False),
        ("", True, True, False),
    ],
)
def test_what_may_stand_beside_a_base(method: str, single: bool, speaks: bool, worn: bool) -> None:
    assert can_be_worn(method, single=single, speaks=speaks) is worn
