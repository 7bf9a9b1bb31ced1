"""The estimate by command and API: one answer, from a config.json alone, and a clear word where it cannot be given."""

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client

from annotate.models import Project, User
from training.models import Artifact, Task
from training.recipes.estimate.memory import PARTS

pytestmark = pytest.mark.usefixtures("speed_is_known")
LLAMA_3_8B: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
}
# Rank 16 beside queries (4096 to 4096) and values (4096 to 1024) of 32 layers.
LORA = 32 * 16 * ((4096 + 4096) + (4096 + 1024))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA_3_8B))
    return path


def command(config: Path, *arguments: str, as_json: bool = True) -> Any:
    out = StringIO()
    call_command("estimate", "--config", str(config), *arguments, *(["--json"] if as_json else []), stdout=out)
    return json.loads(out.getvalue()) if as_json else out.getvalue()


def test_the_command_counts_a_published_model(config: Path) -> None:
    asked = ("--recipe", "dpo", "--adapter", "lora", "--rank", "16", "--targets", "q_proj,v_proj")
    told = command(config, *asked, "--device", "gpu", "--memory", "80")
    assert told["base_parameters"] == 8_030_261_248
    assert told["trainable_parameters"] == LORA
    assert told["trainable_percent"] == pytest.approx(100 * LORA / (8_030_261_248 + LORA))
    parts = dict(told["memory_bytes"])
    total = parts.pop("total")
    assert set(parts) == set(PARTS)
    assert total == sum(parts.values())
    assert parts["weights"] == 2 * 8_030_261_248 + 4 * LORA  # bf16, and the adapter in fp32
    assert parts["optimizer"] == 8 * LORA
    assert told["seconds"] is None  # nothing is known of a GPU that is not here


def test_what_does_not_fit_comes_with_what_does(config: Path) -> None:
    told = command(config, "--recipe", "sft", "--adapter", "full", "--device", "gpu", "--memory", "80")
    assert told["fits"] is False
    assert told["advice"]["fits"] is True
    assert told["advice"]["change"]["adapter"] in ("lora", "qlora")
    assert told["advice"]["memory_bytes"]["total"] <= 80e9 < told["memory_bytes"]["total"]


def test_the_time_comes_from_the_operations_that_are_given(config: Path) -> None:
    """Of all weights learned: six operations a token and weight (Kaplan et al. 2020), attention on top."""
    asked = ("--recipe", "sft", "--adapter", "full", "--device", "gpu", "--operations", "100")
    told = command(config, *asked, "--examples", "1000", "--tokens", "500", "--epochs", "1")
    matrices = 8_030_261_248 - 2 * 128256 * 4096  # a table of words costs nothing, an output layer only for responses
    parts = told["seconds_by_part"]
    assert parts["training"] == pytest.approx(6 * matrices * 500_000 / 1e14, rel=0.1)
    assert told["seconds"] == pytest.approx(sum(parts.values())) and parts["reading"] == 0


def test_the_table_names_every_method_and_says_where_the_time_comes_from(config: Path) -> None:
    told = command(config, "--recipe", "dpo", "--device", "cpu", "--memory", "1", as_json=False)
    for name in ("lora", "full", "qlora", "prompt_tuning"):
        assert name in told
    assert "90 GFLOP/s: 45 % of what a matrix product did here" in told
    assert "The time is for 1,000 examples (--examples)." in told
    assert "This does not fit" in told


def test_a_share_of_few_weights_is_not_told_as_none(config: Path) -> None:
    lines = command(config, "--recipe", "reward", "--adapter", "head", "--device", "cpu", as_json=False).splitlines()
    [chosen] = (line for line in lines if line.startswith("*"))
    assert "4,096" in chosen and "< 0.001" in chosen
    assert " 100.000 " in next(line for line in lines if " full " in line)


def test_the_reward_model_is_taken_for_a_lora_beside_the_policy_unless_it_is_described(
    config: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small.json"
    small.write_text(json.dumps({**LLAMA_3_8B, "num_hidden_layers": 2}))
    asked = ("--recipe", "ppo", "--targets", "q_proj,v_proj", "--device", "gpu", "--memory", "80")
    described = ("--set", "reward.targets=q_proj,v_proj", "--set", "reward.members=3")
    each = [command(config, *asked, *more) for more in ((), described, ("--set", "reward.adapter=full"))]
    taken, heads, whole = (told["memory_bytes"]["reward"] for told in each)
    assert [told["assumed"]["reward_model"] for told in each] == ["assumed", "given", "given"]
    assert taken == 4 * (LORA + 4096)  # and a head
    assert heads == taken + 2 * 4 * 4096
    assert whole > 2 * 7_000_000_000
    other = command(config, *asked, "--reward-config", str(small))["memory_bytes"]
    assert taken < other["reward"] < whole
    assert "taken for a LoRA on the policy's base" in command(config, *asked, as_json=False)
    assert "taken for" not in command(config, *asked, *described, as_json=False)


def test_several_adapters_that_reward_take_their_time(config: Path) -> None:
    asked = ("--recipe", "rloo", "--operations", "100", "--examples", "100")
    several = ("--set", "reward.members=5", "--set", "reward.ensemble_of=adapters")
    alone, five = (command(config, *asked, *more)["seconds"] for more in (("--set", "reward.rank=8"), several))
    assert five > alone


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--set", "reward.members=0"), "reward.members"),
        (("--set", "reward.targets=nowhere"), "reward.targets"),
        (("--set", "reward=5"), "ppo.reward: There is no such setting"),
        (("--set", "reward=5", "--set", "reward.members=3"), "reward has a value already"),
        (("--reward-config", "nowhere.json"), "nowhere.json"),
    ],
)
def test_a_reward_model_that_cannot_be_is_refused(config: Path, arguments: tuple[str, str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        command(config, "--recipe", "ppo", *arguments)


def test_a_recipe_that_nobody_rewards_has_no_such_settings(config: Path) -> None:
    with pytest.raises(CommandError, match=r"dpo\.reward: There is no such setting"):
        command(config, "--recipe", "dpo", "--set", "reward.members=3")
    with pytest.raises(CommandError, match="uses no reward model"):
        command(config, "--recipe", "dpo", "--reward-config", str(config))
    assert command(config, "--recipe", "dpo")["assumed"]["reward_model"] is None


def test_a_value_model_on_a_larger_reward_model_takes_that_ones_memory_and_time(config: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.json"
    small.write_text(json.dumps({**LLAMA_3_8B, "num_hidden_layers": 2}))
    asked = ("--recipe", "ppo", "--device", "gpu", "--operations", "100")
    large = command(small, *asked, "--reward-config", str(config))
    alone = command(small, *asked)
    assert large["memory_bytes"]["activations"] > 3 * alone["memory_bytes"]["activations"]
    trained = [told["seconds_by_part"]["training"] for told in (alone, large)]
    assert trained[1] > 3 * trained[0]


def test_an_unknown_architecture_is_said_and_counted_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "novel", "n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 100}))
    said = StringIO()
    call_command("estimate", "--config", str(path), "--recipe", "dpo", stdout=StringIO(), stderr=said)
    assert "“novel” is not known" in said.getvalue()
    assert command(path, "--recipe", "dpo")["known_architecture"] is False


def test_how_many_responses_a_prompt_has_is_said_to_be_not_known(config: Path) -> None:
    said = "is not known; two are taken"
    assert said in command(config, "--recipe", "reward", "--set", "group_by_prompt=true", as_json=False)
    assert said not in command(config, "--recipe", "reward", as_json=False)


def test_the_checkpoints_of_a_policy_hold_its_value_model_too(config: Path) -> None:
    """A LoRA of rank 8 on all layers, and a head, each with two moments, in the last two checkpoints."""
    told = command(config, "--recipe", "ppo", "--adapter", "ia3", "--set", "reward.rank=8")
    widths = (4096 + 4096) * 2 + (4096 + 1024) * 2 + (4096 + 14336) * 3
    value = 32 * 8 * widths + 4097
    alone = told["disk_bytes"]["product"] + 2 * told["trainable_parameters"] * 12
    assert told["disk_bytes"]["total"] == alone + 2 * 12 * value > 5e8


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not json", "cannot be read as JSON"),
        ("[1]", "no object"),
        ('{"model_type": "llama"}', "hidden_size"),
        ('{"model_type": "llama", "hidden_size": "wide"}', "hidden_size"),
    ],
)
def test_what_is_no_config_is_refused_by_name(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(CommandError, match=said):
        command(path, "--recipe", "dpo")


def test_a_config_that_is_not_there_is_not_called_broken(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"nowhere.json cannot be read: No such file or directory\. Give"):
        command(tmp_path / "nowhere.json", "--recipe", "dpo")


def test_a_setting_that_the_model_refuses_is_said(config: Path) -> None:
    with pytest.raises(CommandError, match="no linear layer named nose"):
        command(config, "--recipe", "dpo", "--targets", "nose")
    with pytest.raises(CommandError, match="has no biases"):
        command(config, "--recipe", "dpo", "--adapter", "bias")
    with pytest.raises(CommandError, match="rank"):
        command(config, "--recipe", "dpo", "--rank", "0")


def test_neither_torch_nor_a_database_is_touched(config: Path) -> None:
    script = (
        "import sys, django; django.setup()\n"
        "from django.core.management import call_command\n"
        "from django.db import connection\n"
        f"call_command('estimate', '--config', {str(config)!r}, '--recipe', 'ppo', '--json')\n"
        "print([m for m in ('torch', 'transformers', 'peft') if m in sys.modules], connection.connection)"
    )
    environment = {"DJANGO_SETTINGS_MODULE": "workbench.settings", "PLUMBLINE_HOME": str(settings.HOME), "PATH": ""}
    run = [sys.executable, "-c", script]
    done = subprocess.run(run, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] None"


@pytest.mark.django_db
def test_the_api_answers_as_the_command_does(
    client: Client, lead: User, project: Project, config: Path, tmp_path: Path
) -> None:
    model = Artifact.objects.create(project=project, name="large", location=str(tmp_path))
    client.force_login(lead)
    url = "/api/v1/projects/garden/estimate/"
    asked = {"model": model.pk, "recipe": "dpo", "device": "gpu", "memory": 80}
    posted = client.post(url, {**asked, "config": {"targets": "q_proj,v_proj"}}, content_type="application/json").json()
    assert posted["trainable_parameters"] == LORA
    assert client.get(url, asked).json()["base_parameters"] == 8_030_261_248
    judge = Artifact.objects.create(project=project, name="judge", task=Task.REWARD, location=str(tmp_path))
    rewarded = client.get(url, {**asked, "recipe": "ppo", "reward_model": judge.pk}).json()
    assert rewarded["memory_bytes"]["reward"] > 2 * 7_000_000_000
    assert client.get(url, {**asked, "recipe": "ppo", "reward_model": model.pk}).status_code == 404
    refused = client.get(url, {**asked, "reward_model": judge.pk})
    assert (refused.status_code, refused.json()["field"]) == (400, "reward_model")
    refused = client.post(url, {**asked, "config": {"rank": 0}}, content_type="application/json")
    assert (refused.status_code, refused.json()["field"]) == (400, "dpo.rank")


@pytest.mark.django_db
def test_a_stranger_learns_nothing_from_the_api(client: Client, django_user_model: Any, project: Project) -> None:
    client.force_login(django_user_model.objects.create_user("nobody-here"))
    assert client.get("/api/v1/projects/garden/estimate/", {"model": 1, "recipe": "dpo"}).status_code == 404


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--response-tokens", ["-5", "0", "many"]),
        ("--examples", ["-5", "0", "1e3", "1" + "0" * 400]),
        ("--tokens", ["-5", "nan", "inf", "1e308"]),
        ("--operations", ["-1", "0", "nan", "inf"]),
        ("--memory", ["-5", "0", "nan", "inf", "1e400"]),
    ],
)
def test_a_number_that_cannot_be_is_refused_by_its_option(config: Path, option: str, values: list[str]) -> None:
    for value in values:
        with pytest.raises(CommandError, match=f"{option}: This must be a") as refused:
            command(config, "--recipe", "dpo", f"{option}={value}")
        assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"num_hidden_layers": 3_000_000}, "beyond 4096"),
        ({"hidden_size": 10**400}, "beyond"),
        ({"vocab_size": 10**400}, "beyond"),
        ({"num_attention_heads": 8192}, "do not divide"),
        ({"num_local_experts": 8}, "mixture of 8 experts"),
        ({"is_encoder_decoder": True}, "an encoder with a decoder"),
    ],
)
def test_a_config_that_would_be_counted_wrongly_is_refused(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA_3_8B | changed))
    with pytest.raises(CommandError, match=said):
        command(path, "--recipe", "dpo")


def test_a_config_of_brackets_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("[" * 100_000)
    with pytest.raises(CommandError, match="cannot be read as JSON"):
        command(path, "--recipe", "dpo")


def test_a_name_that_cannot_be_printed_is_said_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA_3_8B | {"model_type": "\ud800"}))
    assert command(path, "--recipe", "dpo")["architecture"] == "?"


def test_no_text_is_longer_than_the_context(config: Path) -> None:
    longest, longer = (
        command(config, "--recipe", "sft", "--device", "gpu", "--max-length", length)["memory_bytes"]["total"]
        for length in ("8192", "16384")
    )
    assert longest == longer


def test_a_folder_and_a_file_with_a_mark_before_it_are_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_3_8B), encoding="utf-8-sig")
    for path in (tmp_path, tmp_path / "config.json"):
        assert command(path, "--recipe", "dpo", "--device", "cpu")["base_parameters"] == 8_030_261_248


def test_what_is_not_counted_is_said_in_plain_words(tmp_path: Path) -> None:
    path, out, told = tmp_path / "config.json", StringIO(), StringIO()
    packed = {**LLAMA_3_8B, "model_type": None, "quantization_config": {"bits": 4}, "vision_config": {}}
    path.write_text(json.dumps(packed))
    asked = ("--config", str(path), "--recipe", "dpo", "--device", "cpu", "--json")
    call_command("estimate", *asked, stdout=out, stderr=told)
    assert json.loads(out.getvalue())["not_counted"] == ["vision_config", "quantization_config"]
    assert "names no architecture" in told.getvalue() and "None" not in told.getvalue()
    assert "sees or hears with is not counted" in told.getvalue() and "memory is that of whole" in told.getvalue()


def test_a_gpu_is_not_filled_to_its_last_byte(config: Path) -> None:
    """CUDA keeps a part for itself, which torch's allocator does not know of."""
    asked = ("--recipe", "dpo", "--set", "gradient_checkpointing=off", "--device", "gpu", "--memory")
    told = command(config, *asked, "800")
    context = told["process_bytes"]
    assert told["fits"] and context > 300e6
    just = (told["memory_bytes"]["total"] + context) / 1e9
    assert command(config, *asked, f"{just + 0.001}")["fits"] and not command(config, *asked, f"{just - 0.001}")["fits"]
    assert "CUDA itself is taken to keep" in command(config, *asked, "800", as_json=False)
