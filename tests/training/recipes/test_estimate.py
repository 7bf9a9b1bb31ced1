"""What must hold of every estimate: no model is needed to know it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.recipes import UNTRAINED, load
from training.recipes.adapters import HEAD, METHODS
from training.recipes.encoders import FAMILIES, ON_ENCODERS
from training.recipes.errors import RecipeError
from training.recipes.estimate import (
    Data,
    Machine,
    Question,
    Rewarder,
    Speed,
    every_method,
    nearest_that_fits,
    read_architecture,
)
from training.recipes.estimate.adapters import parameters
from training.recipes.estimate.decoder_families import LLAMA_KIN
from training.recipes.estimate.memory import memory
from training.recipes.estimate.table import ESTIMATED, estimate
from training.recipes.estimate.workload import DRAWN, workload
from training.recipes.reward import RewardConfig

pytestmark = pytest.mark.not_db
SIZES: dict[str, Any] = {
    "model_type": "qwen2",
    "vocab_size": 2000,
    "hidden_size": 128,
    "intermediate_size": 320,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}
MODEL = read_architecture(SIZES)
RECIPES = st.sampled_from(ESTIMATED)
ADAPTERS = st.sampled_from([name for name in METHODS if name != HEAD])


def question(recipe: str, machine: Machine | None = None, speed: Speed | None = None) -> Question:
    return Question(MODEL, recipe, machine or Machine(), Data(100, 200), speed or Speed("given", 1e12))


@settings(deadline=None)
@given(recipe=RECIPES, adapter=ADAPTERS, half=st.integers(1, 16), device=st.sampled_from(["cpu", "gpu"]))
def test_a_smaller_batch_never_takes_more(recipe: str, adapter: str, half: int, device: str) -> None:
    sizes = [load(recipe, {"adapter": adapter, "batch_size": 2 * half * k, "max_length": 256}) for k in (1, 2)]
    small, large = (memory(MODEL, config, workload(recipe, config), device) for config in sizes)
    assert small.total <= large.total
    assert all(size >= 0 for size in (*small.parts.values(), *large.parts.values()))
    assert small.parts["weights"] == large.parts["weights"]


@settings(deadline=None)
@given(
    kind=st.sampled_from(["ddp", "fsdp", "deepspeed"]),
    adapter=st.sampled_from(["full", "lora"]),
    processes=st.integers(2, 16),
)
def test_each_of_more_devices_never_takes_more(kind: str, adapter: str, processes: int) -> None:
    """But for the copy of its part of the weights that DeepSpeed keeps."""
    config = load("sft", {"adapter": adapter, "parallel": kind, "gradient_accumulation": 16})
    few, many = (memory(MODEL, config, workload("sft", config), "gpu", None, n) for n in (processes, 2 * processes))
    alone = memory(MODEL, config, workload("sft", config), "gpu")
    assert many.total <= few.total
    assert all(size >= 0 for size in few.parts.values())
    if kind != "deepspeed":
        assert few.total <= alone.total


def test_a_batch_is_cut_up_only_where_there_are_too_few_of_them() -> None:
    asked = question("dpo", Machine("gpu", devices=4))
    for accumulation, rows in ((1, 4), (3, 4), (4, 16), (8, 16)):
        config = load("dpo", {"batch_size": 8, "gradient_accumulation": accumulation})
        assert asked.work(config).rows == rows
    assert question("ppo", Machine("gpu", devices=4)).processes == 1


@settings(deadline=None)
@given(recipe=RECIPES, limit=st.integers(1, 2_000_000_000))
def test_advice_fits_and_keeps_the_step_where_only_the_batch_is_smaller(recipe: str, limit: int) -> None:
    asked, config = question(recipe, Machine("cpu", limit)), load(recipe, {"adapter": "full", "batch_size": 8})
    advice = nearest_that_fits(asked, config)
    if estimate(asked, config).fits:
        assert advice is None
    elif advice is not None:
        assert advice.found.memory.total <= limit
        if set(advice.changed) == {"batch_size", "gradient_accumulation"}:
            step = advice.changed["batch_size"] * advice.changed["gradient_accumulation"]
            assert step == config.batch_size * config.gradient_accumulation


@pytest.mark.parametrize("recipe", ESTIMATED)
def test_every_recipe_estimates_every_method(recipe: str) -> None:
    found = every_method(question(recipe), load(recipe, {}))
    assert [one.adapter for one in found] == [*METHODS, *([HEAD] if recipe == "reward" else [])]
    assert all(one.memory.total > 0 and one.seconds > 0 for one in found)
    assert (found[0].memory.parts["kv_cache"] > 0) == (recipe in ("ppo", "rloo", "grpo"))
    assert (found[0].memory.parts["value"] > 0) == (recipe == "ppo")


def test_only_the_score_is_trained_of_a_reward_model_by_its_head() -> None:
    """One row of the head for each member; nothing lies below it for which anything would be kept."""

    @dataclass(frozen=True)
    class Several(RewardConfig):
        members: int = 5

    one = replace(load("reward", {}), adapter=HEAD)
    assert parameters(MODEL, one, "reward").trainable == SIZES["hidden_size"]
    several = Several(adapter=HEAD)
    assert parameters(MODEL, several, "reward").trainable == 5 * SIZES["hidden_size"]
    whole = memory(MODEL, replace(one, adapter="lora"), workload("reward", one), "cpu")
    assert memory(MODEL, one, workload("reward", one), "cpu").total < whole.total


@pytest.mark.parametrize("family", LLAMA_KIN)
def test_tied_embeddings_are_counted_once(family: str) -> None:
    tied, apart = (read_architecture({**SIZES, "model_type": family, "tie_word_embeddings": t}) for t in (True, False))
    assert apart.policy - tied.policy == SIZES["vocab_size"] * SIZES["hidden_size"]
    assert apart.body == tied.body  # a reward model has no output layer in any case


def test_a_model_of_text_and_pictures_is_counted_by_its_text() -> None:
    found = read_architecture({"model_type": "seeing", "text_config": SIZES})
    assert (found.policy, found.known) == (MODEL.policy, False)


def test_what_trains_nothing_is_not_estimated() -> None:
    assert not set(UNTRAINED) & set(ESTIMATED)


def test_only_a_reward_model_can_be_its_head_alone_and_its_texts_are_read_once() -> None:
    assert HEAD not in {one.adapter for one in every_method(question("dpo"), load("dpo", {}))}
    asked = question("reward")
    (head,) = [one for one in every_method(asked, load("reward", {"epochs": 7})) if one.adapter == HEAD]
    assert head.parameters and head.parameters.trainable == MODEL.width
    assert head.seconds == estimate(asked, load("reward", {"adapter": HEAD})).seconds


def test_an_ensemble_has_a_head_for_each_member_whatever_else_is_learned() -> None:
    config = load("reward", {"adapter": HEAD, "members": 5, "ties": "davidson"})
    assert estimate(question("reward"), config).parameters.trainable == 5 * MODEL.width


def test_adapters_of_an_ensemble_cost_their_number_of_times_and_are_not_computed_twice() -> None:
    asked, alone = question("reward"), load("reward", {"members": 3})
    several = load("reward", {"members": 3, "ensemble_of": "adapters"})
    one, three = estimate(asked, alone), estimate(asked, several)
    head = 3 * MODEL.width
    assert three.parameters.trainable - head == 3 * (one.parameters.trainable - head)
    assert three.durations.training == pytest.approx(3 * one.durations.training, rel=0.01)
    assert three.memory.total > one.memory.total
    with pytest.raises(RecipeError, match="another member"):
        estimate(asked, load("reward", {"ensemble_of": "adapters", "members": 3, "gradient_checkpointing": "on"}))
    small = question("reward", Machine("gpu", 200_000_000))  # so small that heads are computed twice by themselves
    heads, apart = ({"members": 3, "ensemble_of": of} for of in ("heads", "adapters"))
    totals = {
        (settings["ensemble_of"], how): estimate(
            small, load("reward", {**settings, "gradient_checkpointing": how})
        ).memory.total
        for settings, how in ((heads, "auto"), (heads, "on"), (heads, "off"), (apart, "auto"), (apart, "off"))
    }
    assert totals["heads", "auto"] == totals["heads", "on"] < totals["heads", "off"]
    assert totals["adapters", "auto"] == totals["adapters", "off"]


@pytest.mark.parametrize("recipe", ["sft", *DRAWN])
def test_a_gpu_that_a_batch_would_fill_checkpoints_by_itself_and_no_cpu_does(recipe: str) -> None:
    settings = {"adapter": "full", "batch_size": 64, "max_length": 512}
    auto, on, off = (load(recipe, {**settings, "gradient_checkpointing": how}) for how in ("auto", "on", "off"))
    small, large = question(recipe, Machine("gpu", 2_000_000_000)), question(recipe, Machine("gpu", 2**42))
    assert estimate(small, auto).memory == estimate(small, on).memory
    assert estimate(small, auto).seconds == estimate(small, on).seconds
    assert estimate(large, auto).memory == estimate(large, off).memory
    on_cpu = question(recipe, Machine("cpu", 2_000_000_000))
    assert estimate(on_cpu, auto).memory == estimate(on_cpu, off).memory
    assert estimate(small, on).memory.total < estimate(small, off).memory.total
    assert estimate(small, on).seconds > estimate(small, off).seconds
    with pytest.raises(RecipeError, match="keys and values"):
        estimate(small, load(recipe, {"adapter": "prefix", "gradient_checkpointing": "on"}))


def test_what_stands_beside_a_policy_leaves_its_batches_less_room() -> None:
    """A reward model of its own fills a GPU as the policy does, and the value model that stands on it learns too."""
    large = read_architecture({**SIZES, "hidden_size": 1024, "intermediate_size": 2560})
    settings = {"max_length": 512, "batch_size": 16}
    auto, on, off = (load("ppo", {**settings, "gradient_checkpointing": how}) for how in ("auto", "on", "off"))
    asked = question("ppo", Machine("gpu", 700_000_000))
    assert estimate(asked, auto).memory == estimate(asked, off).memory != estimate(asked, on).memory
    beside = replace(asked, reward=Rewarder(large))
    assert estimate(beside, auto).memory == estimate(beside, on).memory != estimate(beside, off).memory


@pytest.mark.parametrize(("memory", "batch"), [(160, 2), (170, 2), (190, 4)])
def test_a_second_model_leaves_batches_less_room(memory: int, batch: int) -> None:
    """KTO asks its frozen start in every step: trained whole, it has that beside it. Of 7 billion weights, in GB."""
    sizes = {"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32}
    heads = {"num_attention_heads": 32, "num_key_value_heads": 32, "tie_word_embeddings": False}
    asked = question("kto", Machine("gpu", memory * 10**9))
    asked = replace(asked, model=read_architecture({**SIZES, **sizes, **heads}))
    settings = {"adapter": "full", "max_length": 1024, "batch_size": batch}
    auto, on, off = (load("kto", {**settings, "gradient_checkpointing": how}) for how in ("auto", "on", "off"))
    assert estimate(asked, on).fits and not estimate(asked, off).fits
    assert estimate(asked, auto).memory == estimate(asked, on).memory


def test_on_a_gpu_a_value_model_is_counted_as_a_gpu_computes_it() -> None:
    """What one family's attention does without on a CPU it does nowhere else."""
    large = read_architecture({**SIZES, "num_hidden_layers": 24, "hidden_size": 1024, "intermediate_size": 2560})
    config = load("ppo", {"adapter": "houlsby", "max_length": 512, "gradient_checkpointing": "off"})
    found = []
    for family in ("qwen2", "mixtral"):
        policy, judge = (replace(model, family=family) for model in (MODEL, large))
        found.append(memory(policy, config, workload("ppo", config), "gpu", Rewarder(judge)).parts)
    assert found[0] == found[1]


@pytest.mark.parametrize("recipe", DRAWN)
def test_checkpointing_is_advised_where_it_is_what_a_policy_lacks(recipe: str) -> None:
    """One response at a time, so that no smaller batch comes before it; and few to draw, which takes memory as well."""
    few = {"rollouts": 2} if recipe == "ppo" else {"generations": 4}
    config = load(recipe, {"max_length": 4096, "batch_size": 1, "gradient_checkpointing": "off", **few})
    asked = question(recipe)
    on = estimate(asked, replace(config, gradient_checkpointing="on"))
    tight = replace(asked, machine=Machine("cpu", on.memory.total + on.memory.heap))
    assert nearest_that_fits(tight, config).changed == {"gradient_checkpointing": "on"}


def test_beside_a_reward_model_that_is_not_known_the_policy_alone_is_told() -> None:
    model = read_architecture({**SIZES, "model_type": "novel"})
    judge = Rewarder(model, load("reward", {"targets": "query_key_value"}), on_policy=True)
    found = estimate(replace(question("ppo"), model=model, reward=judge), load("ppo", {}))
    assert found.unknown and found.refused is None and found.base == model.policy


@pytest.mark.parametrize("family", FAMILIES)
def test_an_encoder_is_a_reward_model_with_what_is_offered_on_it_and_nothing_else(family: str) -> None:
    names = {"dim": 128, "n_heads": 8, "n_layers": 6, "hidden_dim": 320}
    sizes = {**SIZES, "model_type": family} if family != "distilbert" else {**names, "vocab_size": 2000}
    model = read_architecture({**sizes, "model_type": family, "type_vocab_size": 2})
    asked = replace(question("reward"), model=model)
    found = {one.adapter for one in every_method(asked, load("reward", {})) if one.refused is None}
    assert found <= set(ON_ENCODERS) and {"lora", "full", HEAD} <= found
    with pytest.raises(RecipeError, match="encoder"):
        estimate(replace(question("dpo"), model=model), load("dpo", {}))


def test_products_in_bf16_keep_a_copy_of_every_weight_they_multiply() -> None:
    """Of a model whose own weights are trained; beside an adapter the weights are in bf16 themselves. Where heads share
    keys, attention keeps less on a CPU."""
    config = load("sft", {"adapter": "full", "batch_size": 16})
    model = read_architecture({**SIZES, "num_key_value_heads": SIZES["num_attention_heads"]})
    on_cpu, on_gpu = (memory(model, config, workload("sft", config), device).parts for device in ("cpu", "gpu"))
    base = parameters(model, config, "policy").base
    assert on_gpu.pop("activations") - on_cpu.pop("activations") == 2 * base
    assert on_gpu == on_cpu


def test_what_a_process_keeps_of_freed_memory_counts_for_what_fits_on_a_cpu_and_on_no_gpu() -> None:
    config = load("dpo", {"adapter": "lora"})
    held = memory(MODEL, config, workload("dpo", config), "cpu")
    assert 0 < held.heap < held.parts["activations"]
    assert held.total == sum(held.parts.values()), "it is no part of the peak of the tensors"
    assert not Machine("cpu", held.total + held.heap + 5, process=10).fits(held)
    assert Machine("cpu", held.total + held.heap + 10, process=10).fits(held)
    assert memory(MODEL, config, workload("dpo", config), "gpu").heap == 0


def test_virtual_tokens_and_the_longest_example_stay_within_a_window_of_attention() -> None:
    windowed = {**SIZES, "model_type": "mistral", "sliding_window": 300}
    config = load("dpo", {"adapter": "prefix", "virtual_tokens": 20, "max_length": 281})
    with pytest.raises(RecipeError, match="window of attention, 300 tokens"):
        parameters(read_architecture(windowed), config, "policy")
    for fits in (replace(config, max_length=280), replace(config, adapter="lora")):
        assert parameters(read_architecture(windowed), fits, "policy").added
    assert parameters(read_architecture({**SIZES, "sliding_window": 300}), config, "policy").added, (
        "Qwen names a window that it does not use"
    )
