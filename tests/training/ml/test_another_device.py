"""What a run computes on a device that is not the host's, as a GPU is: no tensor of the one meets one of the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.training.ml import child
from tests.training.ml.another_device import NAME, run_there
from tests.training.ml.jobs import manifest, write_job
from tests.training.planted import write_planted

pytestmark = pytest.mark.not_db
QUICK = {"adapter": "lora", "batch_size": 4, "gradient_accumulation": 2, "learning_rate": 0.003, "epochs": 1}
# Between them: pairs and whole texts, a parameter beside the model, a reference, prompts in rows and padded, drawing,
# scores, values and advantages.
RUNS: dict[str, dict[str, Any]] = {
    "reward": {"ties": "davidson", "members": 2},
    "dpo": {"adapter": "prompt_tuning"},
    "ppo": {"rollouts": 4, "ppo_epochs": 1, "max_new_tokens": 4},
}


@pytest.mark.long  # no machine of the tests has a GPU, and nothing else would see such a tensor
def test_nothing_is_left_behind_on_the_host(fixture_model: Path, judge: dict[str, Any], tmp_path: Path) -> None:
    data = write_planted(tmp_path / "data", train=8, test=4)
    made = {
        recipe: write_job(
            tmp_path / recipe,
            recipe,
            fixture_model,
            data,
            reward_model=judge if recipe == "ppo" else None,
            **QUICK | more,
        )
        for recipe, more in RUNS.items()
    }
    process = child.server().Process(target=run_there, args=([str(directory) for directory in made.values()],))
    process.start()
    assert child.finish(process) == 0
    for directory in made.values():
        told = manifest(directory)
        assert (told["device"], told["precision"]) == (NAME, "bf16")
