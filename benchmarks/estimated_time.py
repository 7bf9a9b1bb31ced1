"""The estimated time against what a run takes: `python -m benchmarks.estimated_time [--cases reward:lora,...]`.

Loads the demo into a folder of its own, samples with the demo model and judges as `benchmarks.round` does. Then each
case is estimated as the form does it, carried out, and compared: the first of a recipe by the speed of this machine
alone, the later ones by what the earlier one took. A case may name settings: `ppo:lora:rollouts=16:epochs=1`.
"""

import argparse
import json
import os
import tempfile
import time
from typing import Any

from benchmarks.round import execute, judge, use_home

CASES = (
    "reward:lora,reward:full,dpo:lora,dpo:lora,orpo:houlsby,reward:head,"
    "ppo:lora:epochs=1:rollouts=16:max_new_tokens=48,ppo:lora:epochs=1:rollouts=16:max_new_tokens=48"
)
HEAD = "| run | time from | estimated, s | taken, s | estimated / taken | training: estimated, s | taken, s |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=CASES, help="recipe:adapter, by commas")
    parser.add_argument("--judgments", type=int, default=60)
    parser.add_argument("--home", default=None, help="an earlier run's folder, with what was made there")
    options = parser.parse_args()
    use_home(options.home or tempfile.mkdtemp(prefix="plumbline-times-"))
    from training.models import Artifact
    from training.workflow.device import speed

    project, snapshot = judged_demo(options.judgments)
    model = Artifact.objects.get(project=project, parent=None)
    known = speed("cpu")
    print(
        f"{known.operations_per_second / 1e9:.0f} GFLOP/s, {known.bytes_per_second / 1e9:.1f} GB/s; {snapshot.counts}"
    )
    print(f"home: {os.environ['PLUMBLINE_HOME']}\n\n{HEAD}")
    print("| --- " * 7 + "|")
    for case in options.cases.split(","):
        print(line(project, snapshot, model, case), flush=True)


def judged_demo(judgments: int) -> tuple[Any, Any]:
    """The demo project, sampled and judged by one annotator, and its snapshot."""
    from django.core.management import call_command

    from annotate.models import Project, User
    from annotate.workflow.snapshots import freeze

    call_command("demo", verbosity=0)
    project = Project.objects.get(slug="demo")
    execute(project.runs.filter(recipe="sample", round=None).first())
    if not project.snapshots.exists():
        judge(project, User.objects.get(username="ann"), judgments)
    return project, freeze(project=project, actor=User.objects.get(username="lead"))[0]


def line(project: Any, snapshot: Any, model: Any, case: str) -> str:
    from training.models import RunState
    from training.recipes.estimate import DRAWN
    from training.workflow import runner
    from training.workflow.estimates import asked_of
    from training.workflow.starting import start_training

    recipe, adapter, *more = case.split(":")
    settings = {"adapter": adapter, **{name: json.loads(value) for name, value in (pair.split("=") for pair in more)}}
    reward = project.artifacts.filter(task="reward").order_by("pk").first() if recipe in DRAWN else None
    found = asked_of(recipe, model, settings, snapshot=snapshot, reward=reward)
    run = start_training(project, recipe, snapshot, model, settings, reward_model=reward)
    began = time.monotonic()
    state = runner.execute(run.pk)
    taken = time.monotonic() - began
    run.refresh_from_db()
    if state != RunState.SUCCEEDED:
        raise SystemExit(f"{run}: {run.reason}")
    computed, trained = found.chosen.durations, run.artifact.manifest["seconds"]
    source = found.question.speed.told or "matrix products"
    return (
        f"| {case} | {source} | {computed.total:.0f} | {taken:.0f} | {computed.total / taken:.2f} "
        f"| {computed.training:.0f} | {trained:.0f} |"
    )


if __name__ == "__main__":
    main()
