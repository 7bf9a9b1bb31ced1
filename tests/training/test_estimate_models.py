"""Models that an estimate knows little of, or that are built unlike the others: what is told of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError

from tests.training.test_estimate import command

pytestmark = pytest.mark.usefixtures("speed_is_known")
PYTHIA: dict[str, Any] = {
    "model_type": "gpt_neox",
    "vocab_size": 50304,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "max_position_embeddings": 2048,
}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--targets", "query_key_value"), "Not known: how large layers named query_key_value are"),
        (("--adapter", "bias"), "Not known: how many biases"),
    ],
)
def test_a_family_that_is_not_known_refuses_no_method_by_its_names(
    tmp_path: Path, asked: tuple[str, str], said: str
) -> None:
    """Of the chosen method what can be told, and the others as ever."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(PYTHIA))
    told = command(path, "--recipe", "dpo", *asked)
    assert said in told["not_known"] and told["base_parameters"] > 300_000_000 and told["advice"] is None
    full = next(one for one in told["methods"] if one["adapter"] == "full")
    assert full["memory_bytes"]["total"] > 0
    table = command(path, "--recipe", "dpo", *asked, "--memory", "0.1", as_json=False)
    assert said in table and f"has {told['base_parameters']:,} parameters" in table


def test_the_language_model_within_one_that_reads_pictures_is_counted_by_what_its_class_says(tmp_path: Path) -> None:
    """As Gemma 3 with 4 billion parameters was published: its config.json tells neither heads nor words."""
    text = {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34}
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "gemma3", "text_config": text, "vision_config": {"hidden_size": 1152}}))
    told = command(path, "--recipe", "dpo")
    assert (told["base_parameters"], told["known_architecture"]) == (3_880_263_168, False)


def test_the_experts_of_a_mixture_are_counted(tmp_path: Path) -> None:
    """Qwen3-30B-A3B: 30.5 billion parameters, 3.3 of which a token meets."""
    sizes = {"vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 6144, "moe_intermediate_size": 768}
    sizes |= {"num_experts": 128, "num_experts_per_tok": 8, "num_hidden_layers": 48, "num_attention_heads": 32}
    sizes |= {"num_key_value_heads": 4, "head_dim": 128, "max_position_embeddings": 40960}
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "qwen3_moe", **sizes}))
    asked = ("--recipe", "sft", "--adapter", "full", "--operations", "100", "--examples", "1000", "--tokens", "500")
    told = command(path, *asked, "--epochs", "1")
    assert told["base_parameters"] == 30_532_122_624
    met = told["seconds_by_part"]["training"] * 1e14 / 6 / 500_000
    assert 2.9e9 < met < 3.4e9
    path.write_text(json.dumps({"model_type": "qwen3_moe", **sizes, "decoder_sparse_step": 2}))
    with pytest.raises(CommandError, match="mixtures of experts \\(128\\)"):
        command(path, "--recipe", "sft")
