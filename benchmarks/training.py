"""Speed against a tuned TRL script: `python -m benchmarks.training [--rounds 3] [--pairs 24] [--model demo|PATH]`.

Arms: reward model and DPO against TRL's trainers, sampling against `generate` on fixed batches of prompts of mixed
lengths. Both sides have the same model, examples, batches and adapter; theirs is fp32 on a CPU and bf16 on a GPU,
without gradient checkpointing. They run in turn, each in a process of its own, so that a busy machine is busy for both.
With `--growth` also our time and memory with more pairs, longer ones and larger models. Markdown is printed; `--quick`
takes the tests' tiny model and a few pairs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.memory import model_folder
from tests.training.fixture_model import build_fixture_model

ARMS = ("reward", "dpo", "sample")
BARS = {"reward": 1.8, "dpo": 2.0, "sample": 3.0}
SIDES = ("ours", "theirs")
GROWTH = (1, 2, 4)
MEGABYTE = 1e6
Found = dict[str, Any]


def main() -> None:
    options = parsed()
    with tempfile.TemporaryDirectory(prefix="plumbline-training-") as name:
        folder = Path(name)
        model = build_fixture_model(folder / "tiny") if options.quick else named(options.model, folder)
        for arm in options.arms.split(","):
            if arm not in ARMS:
                raise SystemExit(f"There is no arm {arm}: choose among {', '.join(ARMS)}.")
            rounds = [in_turn(folder, arm, model, options, number) for number in range(options.rounds)]
            print(table(arm, rounds), flush=True)
        if options.growth:
            print(growth(folder, model, options), flush=True)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each arm is run by each side")
    parser.add_argument("--pairs", type=int, default=24, help="pairs to train on, and prompts to sample")
    parser.add_argument("--model", default="demo", help="demo, or a model's folder")
    parser.add_argument("--arms", default=",".join(ARMS), help="which, by commas")
    parser.add_argument("--adapter", default="lora", help="lora or full")
    parser.add_argument("--batch-size", type=int, default=8, help="pairs a step, and prompts sampled side by side")
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--prompt-times", type=int, default=1, help="how often each prompt says its question")
    parser.add_argument("--growth", action="store_true", help="also with more pairs, longer ones and larger models")
    parser.add_argument(
        "--quick", action="store_true", help="a tiny model, one round, a few pairs: does it run at all?"
    )
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.pairs, options.batch_size, options.max_new_tokens = 1, 8, 4, 16
    return options


def named(model: str, folder: Path) -> Path:
    return model_folder("" if model == "demo" else model, folder)


def in_turn(folder: Path, arm: str, model: Path, options: argparse.Namespace, number: int) -> dict[str, Found]:
    """One round; who begins changes from round to round."""
    order = SIDES if number % 2 == 0 else SIDES[::-1]
    return {side: measured(folder, asked(arm, side, model, options)) for side in order}


def asked(arm: str, side: str, model: Path, options: argparse.Namespace, **more: Any) -> Found:
    return {
        "arm": arm,
        "side": side,
        "model": str(model),
        "pairs": options.pairs,
        "prompts": options.pairs,
        "copies": 2,
        "adapter": options.adapter,
        "batch_size": options.batch_size,
        "max_new_tokens": options.max_new_tokens,
        "prompt_times": options.prompt_times,
        **more,
    }


def measured(folder: Path, case: Found) -> Found:
    """Raises SystemExit with what the process had to say if it failed."""
    path = folder / "case.json"
    path.write_text(json.dumps(case), encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.training_arms", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TQDM_DISABLE": "1"})
    if done.returncode:
        raise SystemExit(f"{case['arm']}, {case['side']}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def table(arm: str, rounds: list[dict[str, Found]]) -> str:
    """Medians over the rounds, and the ratios of each."""
    ratios = sorted(one["ours"]["tokens_per_second"] / one["theirs"]["tokens_per_second"] for one in rounds)
    middle = statistics.median(ratios)
    unit = "responses" if arm == "sample" else "pairs"
    lines = [f"\n### {arm}\n", "| | ours | theirs |", "| --- | --- | --- |"]
    lines.append(row("real tokens/s", rounds, lambda one: one["tokens_per_second"], "{:,.0f}"))
    lines.append(row(f"{unit}/s", rounds, lambda one: count(one) / one["seconds"], "{:.2f}"))
    lines.append(row("seconds", rounds, lambda one: one["seconds"], "{:.1f}"))
    lines.append(row("processor seconds", rounds, lambda one: one["processor"], "{:.1f}"))
    if arm != "sample":
        lines.append(row("held-out loss then", rounds, lambda one: one["held_out"], "{:.5f}"))
    lines.append(row("peak memory, MB", rounds, lambda one: one["bytes"] / MEGABYTE, "{:,.0f}"))
    lines.append(
        row(
            "floor: operations over peak, processor s",
            rounds,
            lambda one: one["floor_seconds"],
            "{:.2f}",
        )
    )
    lines.append(row("share of the peak reached (MFU)", rounds, lambda one: one["share"], "{:.1%}"))
    first = rounds[0]["ours"]
    worked = ", ".join(f"{work(one['theirs']) / work(one['ours']):.2f}" for one in rounds)
    lines.append(f"\nReal tokens/s, ours over theirs, of each round: {', '.join(f'{ratio:.2f}' for ratio in ratios)};")
    bar = BARS[arm]
    lines.append(f"the median is {middle:.2f} (bar: {bar}, {'met' if middle >= bar else 'missed'}).")
    lines.append(f"Processor time for as many tokens, theirs over ours, which a busy machine disturbs less: {worked}.")
    lines.append(f"Peak {first['peak'] / 1e9:,.0f} GFLOP/s, {first['peak_source']}; shared tokens are counted once.")
    if arm != "sample":
        lines.append(f"Largest difference of a step's loss: {largest_difference(rounds):.1e}.")
    return "\n".join(lines)


def count(one: Found) -> float:
    return one["responses"] if "responses" in one else one["pairs_per_second"] * one["seconds"]


def work(one: Found) -> float:
    """Processor seconds a real token; sampled responses of the two sides are not equally long."""
    return one["processor"] / (one["tokens_per_second"] * one["seconds"])


def row(title: str, rounds: list[dict[str, Found]], value: Any, form: str) -> str:
    cells = [form.format(statistics.median(value(one[side]) for one in rounds)) for side in SIDES]
    return f"| {title} | {' | '.join(cells)} |"


def largest_difference(rounds: list[dict[str, Found]]) -> float:
    return max(
        abs(mine - yours)
        for one in rounds
        for mine, yours in zip(one["ours"]["losses"], one["theirs"]["losses"], strict=True)
    )


def growth(folder: Path, model: Path, options: argparse.Namespace) -> str:
    """Of our DPO; models of other sizes are made of the tests' tiny one, with more layers."""
    lines = ["\n### Growth of DPO, ours\n", "| | 1 | 2 | 4 |", "| --- | --- | --- | --- |"]
    few = argparse.Namespace(**{**vars(options), "pairs": options.batch_size})
    kinds = {
        "pairs": [asked("dpo", "ours", model, few, pairs=few.pairs * factor) for factor in GROWTH],
        "length of the responses": [asked("dpo", "ours", model, few, repeat=factor) for factor in GROWTH],
        "layers (tiny model, 8 and more)": [
            asked("dpo", "ours", build_fixture_model(folder / f"layers{factor}", layers=8 * factor), few)
            for factor in GROWTH
        ],
    }
    for title, cases in kinds.items():
        found = [measured(folder, case) for case in cases]
        lines.append(f"| {title}: seconds | {' | '.join(format(one['seconds'], '.2f') for one in found)} |")
        lines.append(f"| {title}: MB | {' | '.join(format(one['bytes'] / MEGABYTE, ',.0f') for one in found)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
