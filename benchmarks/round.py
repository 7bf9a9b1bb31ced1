"""One round of the demo project, measured: `python -m benchmarks.round [--judgments 60] [--home FOLDER]`.

Loads the demo into a folder of its own, samples 60 prompts with the demo model, judges the pairs by a fixed
rule (the shorter response wins, as a terse annotator would say), and runs reward model, DPO and samples with the
defaults of the form. While they train, a second annotator judges; the times of a submit stand beside those of an idle
machine.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import threading
import time
import uuid
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judgments", type=int, default=60)
    parser.add_argument("--prompts", type=int, default=20, help="fresh prompts of the round; two samples each")
    parser.add_argument("--home", default=None, help="an earlier run's folder: its samples are used again")
    options = parser.parse_args()
    use_home(options.home or tempfile.mkdtemp(prefix="plumbline-round-"))
    print(json.dumps(measure(options.judgments, options.prompts), indent=2, ensure_ascii=False))


def use_home(folder: str) -> None:
    """From here on everything is made below `folder`, and Django's models can be imported."""
    os.environ["PLUMBLINE_HOME"] = folder
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "workbench.settings")
    os.environ.setdefault("PLUMBLINE_LOG_LEVEL", "WARNING")
    import django

    django.setup()


def measure(judgments: int, prompts: int) -> dict[str, Any]:
    from django.conf import settings
    from django.core.management import call_command

    from annotate.models import Project, User
    from annotate.workflow.snapshots import freeze
    from training.models import Artifact
    from training.workflow.rounds import start_round

    began = time.monotonic()
    call_command("demo")
    setup = time.monotonic() - began
    project = Project.objects.get(slug="demo")
    sampling = execute(project.runs.filter(recipe="sample", round=None).first())
    idle = judge(project, User.objects.get(username="ann"), judgments)
    snapshot, _new = freeze(project=project, actor=User.objects.get(username="lead"))
    began = time.monotonic()
    round = start_round(project, snapshot, Artifact.objects.get(project=project, parent=None), prompts=prompts)
    busy: list[float] = []
    judging = threading.Thread(target=_judge_slowly, args=(project, "ben", busy, 40))
    judging.start()
    stages = [execute(run) for run in round.runs.order_by("stage")]
    total = time.monotonic() - began
    judging.join()
    return {
        "machine": {"cores": os.cpu_count(), "processor": platform.processor(), "python": platform.python_version()},
        "home": str(settings.HOME),
        "setup_seconds": setup,
        "first_sampling": sampling,
        "snapshot": snapshot.counts,
        "round_seconds": total,
        "stages": stages,
        "submit_ms": {"idle": _spread(idle), "while_training": _spread(busy)},
    }


def execute(run: Any) -> dict[str, Any]:
    """Carry a run out in this process and say how long it took; one that is done already is only described."""
    from training.models import RunState
    from training.workflow import evaluation, runner

    began = time.monotonic()
    state = run.state if run.state == RunState.SUCCEEDED else runner.execute(run.pk)
    run.refresh_from_db()
    figures = [vars(figure) for figure in evaluation.results_of(run).figures]
    tokens = run.progress.get("tokens_per_second")
    seconds = time.monotonic() - began
    return {
        "recipe": run.recipe, "state": str(state), "seconds": seconds, "reason": run.reason,
        "tokens_per_second": tokens, "result": run.result,
        "figures": [{**figure, "label": str(figure["label"])} for figure in figures],
    }  # fmt: skip


def judge(project: Any, annotator: Any, number: int) -> list[float]:
    """Milliseconds of each submit-and-next."""
    from annotate.models import Choice
    from annotate.workflow.assignment import lease_next
    from annotate.workflow.guidelines import current_version, mark_read
    from annotate.workflow.judging import submit_judgment

    mark_read(version=current_version(project), user=annotator)
    times = []
    card = lease_next(project=project, annotator=annotator)
    while card and len(times) < number:
        a, b = card.comparison.response_a.text, card.comparison.response_b.text
        choice = Choice.TIE if len(a) == len(b) else Choice.A if len(a) < len(b) else Choice.B
        began = time.perf_counter()
        submit_judgment(assignment_id=card.pk, annotator=annotator, choice=choice, client_key=uuid.uuid4())
        card = lease_next(project=project, annotator=annotator)
        times.append(1000 * (time.perf_counter() - began))
    return times


def _judge_slowly(project: Any, name: str, times: list[float], number: int) -> None:
    from django.db import connection

    from annotate.models import User

    for _ in range(number):
        time.sleep(3)
        times += judge(project, User.objects.get(username=name), 1)
    connection.close()


def _spread(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "n": len(ordered),
        "median": statistics.median(ordered) if ordered else float("nan"),
        "p95": ordered[int(0.95 * (len(ordered) - 1))] if ordered else float("nan"),
    }


if __name__ == "__main__":
    main()
