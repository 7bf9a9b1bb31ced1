"""Importing comparisons: seconds grow with the file, peak memory must not.

    python -m benchmarks.imports [JUDGMENTS ...] [--folder DIR]

By default 100,000, 300,000 and 1,000,000 judgments: comparisons with three of them by 500 annotators, texts of 60 to
400 characters, as JSONL into a fresh SQLite database; each size in a process of its own, one line of JSON each.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZES = (100_000, 300_000, 1_000_000)
VOTES = 3
ANNOTATORS = 500
CHILD = """
import resource, sys
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "import_comparisons", "big", sys.argv[1], "--create"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, resource.getrusage(resource.RUSAGE_SELF).ru_utime)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES, help="judgments")
    parser.add_argument("--folder", type=Path, help="where the files and databases go (default: a temporary folder)")
    options = parser.parse_args()
    for size in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            print(json.dumps(measure(size, Path(folder))), flush=True)


def measure(judgments: int, folder: Path) -> dict[str, float]:
    file = folder / "comparisons.jsonl"
    write(file, judgments)
    given = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment = {**given, "PLUMBLINE_HOME": str(folder / "home"), "DJANGO_SETTINGS_MODULE": "workbench.settings"}
    (folder / "home").mkdir()
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], env=environment, check=True)
    start = time.perf_counter()
    child = [sys.executable, "-c", CHILD, str(file)]
    said = subprocess.run(child, env=environment, check=True, capture_output=True, text=True).stdout.split()
    return {
        "judgments": judgments,
        "file_mb": round(file.stat().st_size / 2**20),
        "seconds": round(time.perf_counter() - start, 1),
        "processor_seconds": round(float(said[-1]), 1),
        "peak_mb": int(said[-2]),
    }


def write(file: Path, judgments: int) -> None:
    draw = random.Random(0)
    with file.open("w") as lines:
        for number in range(-(-judgments // VOTES)):
            texts = [f"{side} {number} " + "word " * draw.randint(10, 78) for side in ("Prompt", "First", "Second")]
            votes = [
                {"annotator": f"w{who}", "choice": draw.choice(["a", "tie", "b"])}
                for who in draw.sample(range(ANNOTATORS), VOTES)
            ]
            record = dict(zip(("prompt", "response_a", "response_b"), texts, strict=True))
            lines.write(json.dumps({"id": f"c{number}", **record, "annotations": votes}) + "\n")


if __name__ == "__main__":
    main()
