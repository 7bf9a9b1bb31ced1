"""The way through that the user guide shows, from files of other tools to an export, typed as it stands there."""

import json
import re
import shlex
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command

from annotate.models import Project
from tests.training.planted import planted_rows
from training.models import Artifact, Run, RunState

GUIDE = Path(settings.BASE_DIR) / "docs" / "user-guide.md"
BLOCK = re.compile(r"walk-through: begin -->(.*?)<!-- walk-through: end", re.DOTALL)


def _lines() -> list[list[str]]:
    [block] = BLOCK.findall(GUIDE.read_text())
    whole = block.replace("\\\n", " ")
    return [shlex.split(line)[2:] for line in whole.strip().splitlines() if "manage.py" in line]


def _written(folder: Path) -> None:
    """The same planted pairs as preferences of TRL and of LLaMA-Factory, and their better responses as Alpaca's."""
    pairs, answers = [], []
    for number, row in enumerate(planted_rows(40)):
        asked, chosen, rejected = (row[name][-1]["content"] for name in ("prompt", "chosen", "rejected"))
        turns = {"conversations": [{"from": "human", "value": asked}]}
        sides = {"chosen": {"from": "gpt", "value": chosen}, "rejected": {"from": "gpt", "value": rejected}}
        trl = {"prompt": asked, "chosen": chosen, "rejected": rejected}
        pairs.append(trl if number % 2 else {**turns, **sides})
        answers.append({"instruction": asked, "input": "", "output": chosen})
    for name, rows in (("pairs", pairs), ("answers", answers)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.long  # four trainings, a sampling run and an export with the defaults of the recipes
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("forked", "speed_is_known")
def test_the_walk_through_of_the_guide_goes_through(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _written(tmp_path)
    (tmp_path / "my-model").symlink_to(model_folder)
    monkeypatch.chdir(tmp_path)
    for line in _lines():
        call_command(*line, stdout=StringIO())
    project = Project.objects.get(slug="helper")
    made = {artifact.name: artifact for artifact in Artifact.objects.all()}
    assert set(made) == {"base", "first-sft", "first-reward", "first-dpo", "first-ppo"}
    assert {made[name].parent for name in ("first-reward", "first-dpo", "first-ppo")} == {made["first-sft"]}
    assert {run.state for run in Run.objects.all()} == {RunState.SUCCEEDED}
    assert project.comparisons.filter(judged=0).count() > 10  # one policy beside the other, for people to judge
    rows = [json.loads(line) for line in (tmp_path / "pairs-2.jsonl").read_text().splitlines()]
    assert rows and all({"prompt", "chosen", "rejected"} <= set(row) for row in rows)
    assert (settings.MODELS_DIR / "exports" / "helper" / "first-dpo" / "model.safetensors").is_file()
