"""One full circle with PPO on the demo model: `python -m benchmarks.ppo [--steps 15] [--folder FOLDER]`.

A reward model learns the planted preference (the response that names its steps wins), and PPO moves the demo model
toward it; each in a process of its own, as the workbench does. Writes `ppo.svg` with the curves and prints the table
for docs/performance.md. About ten minutes on two cores with the defaults, the reward model included.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.curves import svg
from benchmarks.planted import demo_model, trained
from tests.training.ml.jobs import manifest, write_job
from tests.training.planted import write_planted
from training.ml.progress import read_lines

PANELS = {
    "score": "Score (reward model)",
    "reward": "Reward (score less penalty)",
    "kl": "KL to the reference (nats)",
    "length": "Length (tokens)",
    "eos_rate": "Share that ends by itself",
    "explained_variance": "Explained variance of the value",
}
TABLE = (
    *("reward_before", "reward_after", "reward_gain", "win_rate", "kl"),
    *("length_before", "length_after", "eos_rate_before", "eos_rate_after"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=15, help="steps of PPO")
    parser.add_argument("--rollouts", type=int, default=16, help="responses a step")
    parser.add_argument("--tokens", type=int, default=32, help="the longest response")
    parser.add_argument("--train", type=int, default=60, help="pairs for the reward model, and prompts for PPO")
    parser.add_argument("--test", type=int, default=20, help="prompts held out")
    parser.add_argument("--settings", default="{}", help="more settings of PPO, as JSON")
    parser.add_argument("--folder", type=Path, default=None, help="an earlier run's: what is there is used again")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="where ppo.svg is written")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="plumbline-ppo-"))
    data = write_planted(folder / "data", train=options.train, test=options.test)
    model = demo_model()
    if not (folder / "reward" / "artifact").exists():
        figures = trained(folder, "reward", model, data)
        print(json.dumps({"reward model": figures["metrics"]["accuracy"], "seconds": figures["seconds"]}))
    seconds = train_policy(folder, model, data, options)
    curve = [line["metrics"] for line in read_lines(folder / "ppo" / "progress.jsonl") if line["kind"] == "step"]
    (options.out / "ppo.svg").write_text(drawn(curve), encoding="utf-8")
    print(table(manifest(folder / "ppo"), curve, seconds))
    print(f"\n{folder}")


def train_policy(folder: Path, model: Path, data: dict[str, str], options: argparse.Namespace) -> float:
    """Seconds of the whole run: loading, training, evaluating."""
    settings = {
        "rollouts": options.rollouts,
        "max_new_tokens": options.tokens,
        "epochs": max(options.steps * options.rollouts // options.train, 1),
        "ppo_epochs": 2,
        "temperature": 0.7,
        "missing_eos_penalty": 0.2,  # half a deviation of this reward model's scores; most responses are cut
        "learning_rate": 3e-4,
        "kl_target": 8.0,
        "checkpoint_every": 5,
    }
    judge = {"base": str(model), "adapters": [str(folder / "reward" / "artifact")]}
    more = json.loads(options.settings)
    directory = write_job(folder / "ppo", "ppo", model, data, reward_model=judge, **{**settings, **more})
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "training.ml.run", str(directory)], check=True)
    return time.monotonic() - began


def drawn(curve: list[dict[str, Any]]) -> str:
    """A value that is no number (null in a line of progress) is drawn as 0: no variance was there to explain."""
    panels = [(title, [step[name] or 0.0 for step in curve]) for name, title in PANELS.items()]
    return svg(panels, across="step")


def table(found: dict[str, Any], curve: list[dict[str, Any]], seconds: float) -> str:
    metrics, config = found["metrics"], found["config"]
    rows = [f"| {name} | {_interval(metrics[name])} |" for name in TABLE]
    samples = "\n".join(f"- before: {one['old']!r}\n- after: {one['new']!r}" for one in metrics["samples"])
    return "\n".join(
        [
            f"{len(curve)} steps of {config['rollouts']} responses, at most {config['max_new_tokens']} tokens, "
            f"{seconds / 60:.1f} minutes on {os.cpu_count()} cores; {found['sharing']}.",
            "",
            "| on held-out prompts | value and 95 % interval |",
            "| --- | --- |",
            *rows,
            "",
            f"Highest KL of a step: {max(step['kl'] for step in curve):.2f} nats per response, target "
            f"{config['kl_target']:g}.",
            "",
            samples,
        ]
    )


def _interval(figure: dict[str, Any]) -> str:
    if figure["value"] is None or not math.isfinite(figure["value"]):
        return f"n = {figure['n']}: too few"
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}], n = {figure['n']}"


if __name__ == "__main__":
    main()
