"""Recipe "grpo": group relative policy optimisation (Shao et al. 2024), through TRL."""

from __future__ import annotations

import trl

from training.ml.group_recipe import run_groups
from training.ml.group_rollouts import OurRollouts
from training.ml.job import Job


class GRPOTrainer(OurRollouts, trl.GRPOTrainer):
    """TRL's, with our responses. The KL is a term of the loss, k3 per token, times the ratio of new to old probability,
    as TRL does unless told otherwise: its gradient is then that of KL(policy || reference) itself (DeepSeek 2025,
    V3.2). The loss is TRL's own choice, DAPO's: a mean over the tokens of the batch (Yu et al. 2025), rewards scaled by
    the deviation within their group."""

    def _generate_single_turn(self, *_: object) -> tuple[list[list[int]], None]:
        return self.draw(), None


def run(job: Job) -> None:
    """Load, prepare, train, evaluate, write the artifact. Raises ModelError for every known failure."""
    run_groups(job, GRPOTrainer, trl.GRPOConfig)
