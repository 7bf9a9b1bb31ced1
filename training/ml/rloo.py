"""Recipe "rloo": REINFORCE with a leave-one-out baseline (Ahmadian et al. 2024), through TRL."""

from __future__ import annotations

import trl

from training.ml.group_recipe import run_groups
from training.ml.group_rollouts import OurRollouts
from training.ml.job import Job


class RLOOTrainer(OurRollouts, trl.RLOOTrainer):
    """TRL's, with our responses. The KL is taken off the reward, as k1 summed over a response."""

    def _generate_single_turn(self, *_: object) -> list[list[int]]:
        return self.draw()


def run(job: Job) -> None:
    """Load, prepare, train, evaluate, write the artifact. Raises ModelError for every known failure."""
    run_groups(job, RLOOTrainer, trl.RLOOConfig)
