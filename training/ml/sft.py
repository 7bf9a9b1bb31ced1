"""Recipe "sft": trains a policy to imitate demonstrations (Ouyang et al. 2022, section 3.1, step 1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from training.ml import flash
from training.ml.demonstrations import Demonstration, load_demonstrations
from training.ml.imitation_figures import imitation_figures
from training.ml.job import Job
from training.ml.logprobs import completion_logits
from training.ml.loop import Objective, Outcome
from training.ml.packing import can_be_packed, packed_logits
from training.ml.policy_run import begin


def run(job: Job) -> None:
    """Load, prepare, train, evaluate, write the artifact. Raises ModelError for every known failure."""
    begun = begin(job, load_demonstrations, rows=1, own_dropout=True)
    model, data, config = begun.model, begun.data, job.config
    packed = config.packing != "off" and begun.facts["attention"] == flash.NAME and can_be_packed(model)
    objective = imitation(model, packed_logits if packed else completion_logits)
    end = begun.train(objective, data.test)
    metrics = imitation_figures(model, begun.start, data.test, config.batch_size)
    begun.finish(end, metrics, data.test, packing=packed)


def imitation(
    model: nn.Module, logits_of: Callable[..., tuple[Tensor, Tensor, Tensor]] = completion_logits
) -> Objective:
    """The negative log-likelihood of the responses' tokens, EOS included; the prompts' are not learned. Demonstrations
    are packed where there are kernels for it; elsewhere, as on a CPU, a pack would cost more than its padding."""

    def objective(batch: Sequence[Demonstration]) -> Outcome:
        logits, targets, rows = logits_of(model, [(one.prompt_ids, one.completion_ids) for one in batch])
        nll = logits.logsumexp(dim=1) - logits.gather(1, targets[:, None])[:, 0]
        hits = (logits.argmax(dim=1) == targets).float()
        empty = torch.zeros(len(batch), device=logits.device)
        return Outcome(empty.index_add(0, rows, nll), {"token_accuracy": hits})  # a mean over tokens, as at the end

    return objective
