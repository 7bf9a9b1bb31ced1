"""The estimated memory against the measured peak: `python -m benchmarks.memory [--model DIR] [--cases sft:lora,...]`.

Each case is a real run in a process of its own, on texts as long as the recipe lets through. Measured is the most that
the process ever had resident (VmHWM, which the kernel keeps), less the same of the same run with the tests' tiny model
and short texts: that is Python, its libraries and what they load as they go. On the demo model unless `--model` names a
folder; `--model fixture` takes the tiny one. `sample:alone`, `sample:old` (against the bare model) and `sample:scored`
(by a reward model as well) are sampling runs of a LoRA policy, of as many prompts as there are `--rows`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from benchmarks.planted import demo_model
from tests.training.demonstrations import write_demonstration_rows
from tests.training.fixture_model import build_fixture_model
from tests.training.ml.jobs import write_job
from tests.training.ml.trained import configured, train_briefly
from tests.training.planted import row, write_rows
from training.ml.chat import completion_ids, prompt_ids
from training.ml.convert import converted
from training.recipes import load
from training.recipes.estimate import (
    Answering,
    Architecture,
    Data,
    Loaded,
    Machine,
    Rewarder,
    Sampling,
    Speed,
    read_architecture,
)
from training.recipes.estimate.memory import memory
from training.recipes.estimate.sampling import memory_of
from training.recipes.estimate.workload import DRAWN, workload
from training.recipes.one_base import OLD, REWARD

CASES = "sft:lora,sft:full,sft:qlora,reward:lora,reward:full,reward:qlora,dpo:lora,dpo:full,dpo:qlora,ppo:lora,ppo:full"
SEEN_EVERY = 0.05  # seconds
MEGABYTE = 1e6
WORDS = "the air was cold and the road went on along the river to a town that nobody had seen before"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="", help='folder of the model, or "fixture" (default: the demo model)')
    parser.add_argument("--cases", default=CASES, help="recipe:adapter, or recipe:adapter:on to checkpoint, by commas")
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--rows", type=int, default=8, help="examples to learn from")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="plumbline-memory-"))
    tiny = build_fixture_model(folder / "fixture")
    model = tiny if options.model == "fixture" else model_folder(options.model, folder)
    for case in options.cases.split(","):
        recipe, adapter, checkpointing = (*case.split(":"), "off")[:3]
        smallest = 2 if recipe == "kto" else 1  # which pairs prompts with the responses to others
        short = argparse.Namespace(batch_size=smallest, max_length=64, rows=4)
        libraries = Case(folder / "tiny", tiny, recipe, adapter, checkpointing, short).peak()
        whole = Case(folder / "whole", model, recipe, adapter, checkpointing, options)
        print(json.dumps(compared(whole, libraries)), flush=True)


def model_folder(named: str, folder: Path) -> Path:
    return Path(named) if named else converted(demo_model(), folder / "cache", lambda: None)


@dataclass(frozen=True)
class Case:
    """A run of a recipe with an adapter; everything it reads and writes is below `folder`."""

    folder: Path
    model: Path
    recipe: str
    adapter: str
    checkpointing: str
    options: argparse.Namespace

    @property
    def settings(self) -> dict[str, Any]:
        length = self.options.max_length
        found = {"adapter": self.adapter, "batch_size": self.options.batch_size, "gradient_accumulation": 2}
        found |= {"max_length": length, "gradient_checkpointing": self.checkpointing}
        if self.recipe == "sample":
            drawn = {"samples_per_prompt": 2, "max_new_tokens": length // 2, "top_p": 1.0}
            return {"batch_size": self.options.batch_size, **drawn}
        if self.recipe in DRAWN:
            found |= {"max_new_tokens": length // 2, "epochs": 1}
        return found | ({"rollouts": self.options.rows} if self.recipe == "ppo" else {})

    def peak(self) -> int:
        """Bytes, VmHWM."""
        if self.recipe == "sample":
            return peak([sys.executable, "-m", "training.ml.run", str(sampling_job(self))])
        reward_model = rewarding(self) if self.recipe in DRAWN else None
        data = write_data(self.folder / f"data-{self.recipe}", self)
        directory = self.folder / f"{self.recipe}-{self.adapter}-{self.checkpointing}"
        write_job(directory, self.recipe, self.model, data, reward_model=reward_model, **self.settings)
        return peak([sys.executable, "-m", "training.ml.run", str(directory)])


def compared(case: Case, libraries: int) -> dict[str, Any]:
    began = time.monotonic()
    measured = case.peak() - libraries
    config = load(case.recipe, case.settings)
    architecture = read_architecture(json.loads((case.model / "config.json").read_text()))
    if case.recipe == "sample":
        found = memory_of(described(case, architecture), config)
    else:
        found = memory(architecture, config, workload(case.recipe, config), "cpu")
    return {
        "recipe": case.recipe,
        "adapter": case.adapter,
        "checkpointing": case.checkpointing,
        "estimated": round(found.total / MEGABYTE),
        "measured": round(measured / MEGABYTE),
        "ratio": round(found.total / measured, 3),
        "libraries": round(libraries / MEGABYTE),
        "parts": {name: round(size / MEGABYTE) for name, size in found.parts.items() if size},
        "seconds": round(time.monotonic() - began),
    }


def sampling_job(case: Case) -> Path:
    """Prompts of half of `max_length` tokens, give or take a few, answered by an adapter on the model."""
    directory, base = case.folder / f"sample-{case.adapter}", {"base": str(case.model), "adapters": []}
    job = write_job(directory, "sample", case.model, {}, adapters=(put_on(case, "policy"),), **case.settings)
    written = json.loads((job / "job.json").read_text())
    written |= {"data": None, "prompts": str(job / "prompts.jsonl")}
    written["reference_model"] = base if case.adapter in ("old", "scored") else None
    written["reward_model"] = base | {"adapters": [put_on(case, "reward")]} if case.adapter == "scored" else None
    (job / "job.json").write_text(json.dumps(written))
    tokenizer = AutoTokenizer.from_pretrained(case.model)
    half = case.options.max_length // 2
    rows = [long_row(tokenizer, f"{place}", half, place)["prompt"] for place in range(case.options.rows)]
    lines = [json.dumps({"id": place, "messages": messages}) for place, messages in enumerate(rows)]
    (job / "prompts.jsonl").write_text("\n".join(lines))
    return job


def put_on(case: Case, task: str) -> str:
    """A LoRA on the model, trained for a few steps on short texts: what it has learned takes no memory."""
    directory = case.folder / f"{task}-artifact"
    return str(directory if directory.exists() else train_briefly("lora", task, case.model, directory).artifact)


def described(case: Case, model: Architecture) -> Sampling:
    judged, compared = case.adapter == "scored", case.adapter in ("old", "scored")
    # The policy's LoRA is merged on a CPU, so it has a base of its own; the reward model stands on the old model's.
    names = (OLD, REWARD) if judged else ()
    new, old = Answering(model, configured("lora")), Answering(model) if compared else None
    judge = Rewarder(model, load("reward", {"rank": configured("lora").rank}), on_policy=True) if judged else None
    lengths = (case.options.max_length // 2,) * case.options.rows
    loaded = Loaded(new, old, judge, names)
    return Sampling(loaded, lengths, Machine("cpu"), Data(len(lengths), lengths[0]), Speed())


def peak(command: list[str]) -> int:
    """VmHWM in bytes; raises CalledProcessError."""
    most = 0
    with tempfile.TemporaryFile("w+") as said:  # no pipe: nobody would read it while the child is watched
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, text=True)
        while child.poll() is None:
            most = max(most, high_water(child.pid))
            time.sleep(SEEN_EVERY)
        if child.returncode:
            said.seek(0)
            raise subprocess.CalledProcessError(child.returncode, command, stderr=said.read())
    return most


def high_water(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def rewarding(case: Case) -> dict[str, Any]:
    """A LoRA reward model on the same base, as a round makes it; trained once."""
    directory = case.folder / "rewarding"
    if not (directory / "artifact").exists():
        data = write_data(case.folder / "data-rewarding", case)
        write_job(directory, "reward", case.model, data, batch_size=1, gradient_accumulation=1)
        subprocess.run([sys.executable, "-m", "training.ml.run", str(directory)], check=True, capture_output=True)
    return {"base": str(case.model), "adapters": [str(directory / "artifact")]}


def write_data(folder: Path, case: Case) -> dict[str, str]:
    """Rows of `max_length` tokens, give or take a few, half of them response."""
    tokenizer = AutoTokenizer.from_pretrained(case.model)
    half = case.options.max_length // 2
    splits = {"train": case.options.rows, "test": 4}
    for split, number in splits.items():
        rows = [long_row(tokenizer, f"{split}{place}", half, place) for place in range(number)]
        path = folder / f"{split}.parquet"
        if case.recipe == "sft":
            shown = [{"id": one["id"], "prompt": one["prompt"], "response": one["chosen"]} for one in rows]
            write_demonstration_rows(path, shown)
        else:
            write_rows(path, rows)
    paths = {split: str(folder / f"{split}.parquet") for split in splits}
    return paths | {"snapshot_hash": f"memory-{case.recipe}-{half}"}


def long_row(tokenizer: PreTrainedTokenizerBase, name: str, half: int, place: int) -> dict[str, Any]:
    """The prompt as long as `half` lets it, the responses the same less a few tokens, so that batches are padded."""

    def prompt(text: str) -> int:
        return len(prompt_ids(tokenizer, [{"role": "user", "content": text}]))

    def response(text: str) -> int:
        return len(completion_ids(tokenizer, text))

    question = longest(f"Question {name}:", prompt, half)
    answers = [longest(start, response, half - place % 2 - less) for less, start in enumerate(("Yes:", "No:"))]
    return row(name, question, *answers)


def longest(text: str, tokens: Any, limit: int) -> str:
    words = WORDS.split()
    count = 0
    while tokens(longer := f"{text} {words[count % len(words)]}") <= limit:
        text, count = longer, count + 1
    return text


if __name__ == "__main__":
    main()
