"""Recipe "kto": trains a policy on single responses, desirable or not (Ethayarajh et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.ml import launched
from training.ml.dpo import direct_preference
from training.ml.intervals import clusters_of, mean
from training.ml.job import Job
from training.ml.logprobs import Sequences
from training.ml.loop import Objective, Outcome
from training.ml.notices import Notices
from training.ml.pairs import read_pairs
from training.ml.policy_figures import judged, preference_figures
from training.ml.policy_run import begin
from training.ml.preference_losses import prospect
from training.ml.reference import Reference, Start, frozen_logps, untouched
from training.ml.sharded import is_sharded
from training.ml.token_logps import both_sides, token_logps, totals
from training.ml.vote_figures import vote_figures
from training.ml.votes import Vote, VoteData, load_votes
from training.recipes.dpo import DPOConfig
from training.recipes.kto import KTOConfig
from training.recipes.words import gettext_noop

ONLY_DESIRABLE = gettext_noop(
    "All responses that it learns from are desirable: nothing tells the policy what to avoid."
)
ONLY_UNDESIRABLE = gettext_noop(
    "All responses that it learns from are undesirable: nothing tells the policy what to prefer."
)


def run(job: Job) -> None:
    """Load, prepare, train, evaluate, write the artifact. Raises ModelError for every known failure."""
    begun = begin(job, load_votes, rows=1, with_reference=True, beside_its_start=True)
    model, data, reference, config = begun.model, begun.data, begun.reference, job.config
    pairs = [] if job.data.unpaired else read_pairs(job.data.test, begun.tokenizer, data.limit).kept
    held_out = data.test if job.data.unpaired else pairs
    if launched.is_first():
        say_what_is_lacking(data, config, Notices(job.directory))
    with untouched(model, config) as frozen:
        known = texts(data.train + data.test) + both_sides(pairs)
        reference.prepare(frozen, known, config.batch_size, begun.progress)
    objective = unpaired_preference(model, reference, begun.start, config, data.limit)
    end = begun.train(objective, held_out)
    if job.data.unpaired:
        metrics = vote_figures(model, begun.start, objective, data.test, config.beta, config.batch_size)
    else:
        pairwise = direct_preference(model, reference, DPOConfig(beta=config.beta))
        metrics = preference_figures(model, begun.start, pairwise, pairs, config.batch_size)
        clusters = clusters_of([vote.prompt_ids for vote in data.test]) or [vote.pair for vote in data.test]
        metrics["loss"] = mean(judged(objective, data.test, config.batch_size)[1], clusters)
    begun.finish(end, metrics, held_out, reference=reference.facts(config))


def say_what_is_lacking(data: VoteData, config: KTOConfig, notices: Notices) -> None:
    """It can be learned from votes of one kind, but only half of what there is to learn; and where one kind weighs more
    than the other, mostly of that."""
    kinds = {vote.desirable for vote in data.train}
    if kinds == {True}:
        notices.say(ONLY_DESIRABLE)
    if kinds == {False}:
        notices.say(ONLY_UNDESIRABLE)
    desirable, undesirable = (sum(v.weight for v in data.train if v.desirable is kind) for kind in (True, False))
    if found := config.unbalanced(desirable, undesirable):
        template, values = found
        notices.say(template, **values)


def unpaired_preference(
    model: nn.Module, reference: Reference, start: Start, config: KTOConfig, limit: int
) -> Objective:
    """The prospect-theoretic loss times the vote's weight. The margin logged is how far the implicit reward lies on the
    right side of the batch's baseline; `kl` is that baseline without beta."""

    def objective(batch: Sequence[Vote]) -> Outcome:
        kl = estimated_kl(model, start, batch, limit)
        sequences = texts(batch)
        now = totals(token_logps(model, sequences))
        reward = config.beta * (now - totals(reference.of(sequences, now.device)))
        desirable = torch.tensor([vote.desirable for vote in batch], device=now.device)
        sides = (config.desirable_weight, config.undesirable_weight)
        losses = prospect(reward, config.beta * kl, desirable, sides)
        weights = torch.tensor([vote.weight for vote in batch], device=now.device)
        margin = torch.where(desirable, 1.0, -1.0) * (reward - config.beta * kl)
        metrics = {"accuracy": (margin > 0).float(), "margin": margin, "kl": kl.expand(len(batch))}
        return Outcome(losses * weights, metrics)

    return objective


@torch.no_grad()
def estimated_kl(model: nn.Module, start: Start, batch: Sequence[Vote], limit: int) -> Tensor:
    """The mean log-ratio of responses that answer other prompts of the batch, zero at least, a scalar (the paper's z0;
    biased, but steady). Nothing is stored of it: what meets in a batch hangs on the seed."""
    mismatched = strangers(batch, limit)
    if not mismatched:
        if is_sharded(model):  # the other processes need this one's part of the weights
            _keep_company(model, start, batch)
        return torch.zeros((), device=next(model.parameters()).device)
    now = totals(token_logps(model, mismatched))
    with start() as frozen:
        then = totals(frozen_logps(frozen, mismatched))
    return (now - then).mean().clamp(min=0)


def _keep_company(model: nn.Module, start: Start, batch: Sequence[Vote]) -> None:
    """As many forward passes as the others make, for nothing, and without drawing what dropout would."""
    frozen_logps(model, texts(batch)[:1])
    with start() as frozen:
        frozen_logps(frozen, texts(batch)[:1])


def strangers(batch: Sequence[Vote], limit: int) -> Sequences:
    """Each prompt with the response of the nearest vote before it (round the batch) that answers another prompt and
    fits; a prompt without any is left out. Where all prompts differ, it is TRL's shift by one."""
    found = []
    for position, vote in enumerate(batch):
        others = [batch[position - distance] for distance in range(1, len(batch))]
        room = limit - len(vote.prompt_ids)
        fitting = (o for o in others if o.prompt_ids != vote.prompt_ids and len(o.completion_ids) <= room)
        if other := next(fitting, None):
            found.append((vote.prompt_ids, other.completion_ids))
    return found


def texts(votes: Sequence[Vote]) -> list[tuple[list[int], list[int]]]:
    return [(vote.prompt_ids, vote.completion_ids) for vote in votes]
