"""One measurement of benchmarks/training.py, in a process of its own: `python -m benchmarks.training_arms CASE.json`.

A case names the arm (reward, dpo, sample), the side (ours, theirs), the model's folder and the sizes. Printed is one
line of JSON. Both sides see the same examples in the same batches, from the same weights.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import trl
from datasets import Dataset
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import nn
from transformers import PreTrainedTokenizerBase

from benchmarks.operations import Sizes, pairs_once, peak
from benchmarks.sampling_arms import sampled
from tests.training.ml.test_same_as_trl import NEWLINE_BEFORE, quiet
from tests.training.planted import planted_rows, write_rows
from training.ml.adapters import apply_adapter
from training.ml.device import Device, choose_device
from training.ml.dpo import direct_preference
from training.ml.frozen_norm import FrozenNorm
from training.ml.job import ModelSpec
from training.ml.lean_attention import LeanAttention
from training.ml.load import load_policy, load_reward_base, load_tokenizer
from training.ml.loop import plan, train
from training.ml.low_rank import AddingLinear
from training.ml.pairs import Pair, read_pairs
from training.ml.precision import for_training
from training.ml.products import as_torch_comes
from training.ml.progress import Progress, read_lines
from training.ml.reference import Reference
from training.ml.reward_objective import by_model, preference_likelihood
from training.ml.token_logps import both_sides
from training.recipes.dpo import DPOConfig
from training.recipes.reward import RewardConfig

CONFIGS = {"reward": RewardConfig, "dpo": DPOConfig}
HELD_OUT = 8  # pairs


class Case:
    """What both sides are given. `theirs` leaves out nothing that TRL's own documentation advises on such a machine."""

    def __init__(self, asked: dict[str, Any], folder: Path) -> None:
        self.asked, self.folder, self.recipe = asked, folder, asked["arm"]
        self.spec = ModelSpec(asked["model"])
        adapter = {"adapter": asked["adapter"], "batch_size": asked["batch_size"], "gradient_accumulation": 1}
        self.config = CONFIGS[self.recipe](**adapter, warmup_ratio=0.0, dropout=0.0)
        self.device = for_training(choose_device(), self.config)
        self.tokenizer = prepared(load_tokenizer(self.spec, cache=folder))
        count = asked["pairs"]
        rows = planted_rows(count + HELD_OUT, repeat=asked.get("repeat", 1))
        rows = [{**row, "prompt": longer(row["prompt"], asked.get("prompt_times", 1))} for row in rows]
        self.rows, held_out = rows[:count], rows[count:]
        self.pairs = self.read("train", self.rows)
        self.held_out = self.read("test", held_out)
        self.order = [i for step in plan(self.pairs, self.config, seed=0) for batch in step for i in batch]

    def read(self, name: str, rows: list[dict[str, Any]]) -> list[Pair]:
        return read_pairs(write_rows(self.folder / f"{name}.parquet", rows), self.tokenizer, 4096).kept

    def model(self) -> nn.Module:
        load = load_reward_base if self.recipe == "reward" else load_policy
        torch.manual_seed(0)  # draws the head and the adapter
        task = "reward" if self.recipe == "reward" else "policy"
        return apply_adapter(load(self.spec, cache=self.folder, device=self.device), self.config, task)

    def objective(self, model: nn.Module, pairs: list[Pair]) -> Any:
        """Of a policy with the reference for these pairs, which is computed here."""
        if self.recipe == "reward":
            return preference_likelihood(by_model(model, self.tokenizer.pad_token_id), self.config, 0, None)
        reference = Reference(self.folder, f"{time.monotonic_ns()}")
        with model.disable_adapter():
            reference.prepare(model, both_sides(pairs), self.config.batch_size, Progress(self.folder))
        return direct_preference(model, reference, self.config)


def longer(prompt: list[dict[str, str]], times: int) -> list[dict[str, str]]:
    """The one turn of the planted pairs' prompts, said so often."""
    return [{**turn, "content": " ".join([turn["content"]] * times)} for turn in prompt]


def prepared(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """With a template that ends with EOS, as our completions do, after the system's turn that the model's own template
    begins with, if it does; and with a pad token that is not EOS: TRL would read the score one token early."""
    own = tokenizer.apply_chat_template([{"role": "user", "content": ""}], tokenize=False)
    system = own.partition("<|im_start|>user")[0].rstrip() if own.startswith("<|im_start|>system") else ""
    tokenizer.chat_template = (f"{system}\n" if system else "") + NEWLINE_BEFORE
    if tokenizer.pad_token_id == tokenizer.eos_token_id:
        tokenizer.pad_token = next(one for one in tokenizer.all_special_tokens if one != tokenizer.eos_token)
    return tokenizer


def ours(case: Case) -> dict[str, Any]:
    """The reference's pass is part of the time, as it is of TRL's."""
    model = case.model()
    warm_up(case, model)
    began, worked = time.perf_counter(), time.process_time()
    objective = case.objective(model, case.pairs)
    train(model, case.pairs, objective, case.config, seed=0, directory=case.folder, progress=Progress(case.folder))
    seconds, processor = time.perf_counter() - began, time.process_time() - worked
    lines = read_lines(case.folder / "progress.jsonl")
    losses = [line["metrics"]["loss"] for line in lines if line["kind"] == "step"]
    return {"seconds": seconds, "processor": processor, "losses": losses, "held_out": held_out_loss(case, model)}


def theirs(case: Case) -> dict[str, Any]:
    """The adapter has our places and numbers; the layers are those of PEFT and transformers, the products torch's."""
    model = as_peft_computes(case.model())
    as_torch_comes()
    columns = ("prompt", "chosen", "rejected")
    data = Dataset.from_list([{name: case.rows[i][name] for name in columns} for i in case.order])
    settings = quiet_on(case.device, case)
    given = {"train_dataset": data, "processing_class": case.tokenizer}
    if case.recipe == "reward":
        trainer = trl.RewardTrainer(model=model, args=trl.RewardConfig(**settings), **given)
    else:
        trained = {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}
        adapter, base = model.peft_config["default"], model.unload()
        # A base with a `peft_config` has the switched-off adapter for its reference; an adapted model, a copy.
        trainer = trl.DPOTrainer(
            model=base, args=trl.DPOConfig(**settings, beta=case.config.beta), peft_config=adapter, **given
        )
        with torch.no_grad():
            for name, weight in trainer.model.named_parameters():
                if name in trained:
                    weight.copy_(trained[name])
    warm_up(case, trainer.model)
    began, worked = time.perf_counter(), time.process_time()
    trainer.train()
    seconds, processor = time.perf_counter() - began, time.process_time() - worked
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "seconds": seconds,
        "processor": processor,
        "losses": losses,
        "held_out": held_out_loss(case, trainer.model),
    }


def warm_up(case: Case, model: nn.Module) -> None:
    """A GPU loads its libraries and kernels with the first batch: seconds that say nothing of either side."""
    if case.device.torch_device.type != "cuda":
        return
    case.objective(model, case.held_out)(case.held_out).losses.mean().backward()
    model.zero_grad(set_to_none=True)


def as_peft_computes(model: nn.Module) -> nn.Module:
    for part in model.modules():
        if type(part) is AddingLinear:
            part.__class__ = LoraLinear
        elif isinstance(part, FrozenNorm | LeanAttention):
            part.__class__ = type(part).__bases__[1]
    return model


def quiet_on(device: Device, case: Case) -> dict[str, Any]:
    gpu = device.torch_device.type == "cuda"
    settings = quiet(case.folder, case.config) | {"max_length": 4096, "use_cpu": not gpu, "bf16": gpu}
    return settings | {"logging_steps": 1, "dataloader_num_workers": 0, "weight_decay": case.config.weight_decay}


@torch.no_grad()
def held_out_loss(case: Case, model: nn.Module) -> float:
    model.eval()
    return case.objective(model, case.held_out)(case.held_out).losses.mean().item()


def figures(case: Case, found: dict[str, Any]) -> dict[str, Any]:
    """With the share of the peak: the operations that are needed, counted once, in the time that was taken."""
    lengths = [(len(pair.prompt_ids), len(pair.chosen_ids), len(pair.rejected_ids)) for pair in case.pairs]
    config = case.model().get_base_model().config if case.asked["adapter"] != "full" else case.model().config
    backward = 2 if case.asked["adapter"] == "full" else 1
    passes = 1 + backward + (case.recipe == "dpo")
    needed = pairs_once(Sizes.of(config), lengths, case.recipe, passes)
    choose_device()  # and with it the fastest products there are: both sides are held to one peak
    speed, source = peak(case.device.torch_device, case.device.dtype)
    tokens, seconds = sum(pair.tokens for pair in case.pairs), found["seconds"]
    return found | {
        "tokens_per_second": tokens / seconds,
        "pairs_per_second": len(case.pairs) / seconds,
        "needed": needed,
        "peak": speed,
        "peak_source": source,
        "floor_seconds": needed / speed,
        "share": needed / speed / (seconds if torch.cuda.is_available() else found["processor"]),
    }


def high_water() -> int:
    """Bytes that this process ever had resident, or on a GPU that torch has allocated."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    asked = json.loads(Path(sys.argv[1]).read_text())
    with tempfile.TemporaryDirectory(prefix="plumbline-arm-") as name:
        if asked["arm"] == "sample":
            found = sampled(asked, Path(name))
        else:
            case = Case(asked, Path(name))
            found = (ours if asked["side"] == "ours" else theirs)(case)
            found["bytes"] = high_water()
            found = figures(case, found)
        found.setdefault("bytes", high_water())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
