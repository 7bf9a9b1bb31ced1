"""What a reward model is trained toward: the likelihood of the judgments, with every option of the recipe."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from training.ml.loop import Objective, Outcome
from training.ml.pairs import Pair
from training.ml.prompt_groups import PromptGroup
from training.ml.reward_losses import bradley_terry, centring, cross_entropy, smoothed_shares
from training.ml.scoring import member_rewards_of
from training.ml.tie_parameter import TieParameter
from training.recipes.reward import RewardConfig

Text = tuple[list[int], list[int]]  # tokens of a prompt and of a response
Scorer = Callable[[list[Text]], Tensor]  # of texts, each once: [texts, members], with gradient


def by_model(model: nn.Module, pad_id: int) -> Scorer:
    """Over the one path that every score takes, each prompt read once where the model can do that."""

    def scores(texts: list[Text]) -> Tensor:
        return member_rewards_of(model, texts, pad_id)

    return scores


def both_sides(scores: Scorer, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
    """Scores of the chosen and of the rejected responses, each [pairs, members]; what occurs in several pairs is read
    once."""
    texts = [(pair.prompt_ids, response) for pair in pairs for response in (pair.chosen_ids, pair.rejected_ids)]
    once = {tuple(prompt + response): (prompt, response) for prompt, response in texts}
    places = {whole: place for place, whole in enumerate(once)}
    found = scores(list(once.values()))[torch.tensor([places[tuple(prompt + response)] for prompt, response in texts])]
    return found[0::2], found[1::2]


def preference_likelihood(scores: Scorer, config: RewardConfig, seed: int, ties: TieParameter | None) -> Objective:
    """The configured loss of a batch of pairs or of prompts with their pairs, times the pairs' weights; of an ensemble
    the mean over its members, each with the weights of its own bootstrap. A prompt's loss is the mean over its pairs.

    `accuracy` and `margin` are of pairs that somebody won; `disagreement` is that of the members' margins."""

    def objective(batch: Sequence[Pair | PromptGroup]) -> Outcome:
        groups = [item.pairs if isinstance(item, PromptGroup) else (item,) for item in batch]
        pairs = [pair for group in groups for pair in group]
        chosen, rejected = both_sides(scores, pairs)
        losses = member_losses(chosen, rejected, pairs, config, ties) * weights_of(pairs, config, seed).to(
            chosen.device
        )
        sums = torch.stack([part.mean() for part in losses.mean(dim=1).split([len(group) for group in groups])])
        return Outcome(sums, figures(chosen - rejected, pairs))

    return objective


def member_losses(
    chosen: Tensor, rejected: Tensor, pairs: Sequence[Pair], config: RewardConfig, ties: TieParameter | None
) -> Tensor:
    """[pairs, members] to the same shape, before any weight."""
    difference = chosen - rejected
    if ties is None:
        degrees = torch.tensor([pair.degree for pair in pairs], device=chosen.device)[:, None]
        likelihood = bradley_terry(difference, config.margin * degrees)
    else:
        likelihood = ties.log_probabilities(difference)
    shares = torch.tensor([shares_of(pair, config) for pair in pairs], device=chosen.device)
    shares = shares if ties is not None else shares[:, [0, 2]]
    losses = cross_entropy(likelihood, smoothed_shares(shares, config.label_smoothing)[:, None])
    return losses + config.centring * centring(chosen, rejected) if config.centring else losses


def shares_of(pair: Pair, config: RewardConfig) -> tuple[float, float, float]:
    """What counts for the chosen response, for neither and for the rejected one: the soft label if it is wanted, or all
    for what the votes (or the final word) came to. Only a likelihood with ties looks at votes for neither, and only
    where the soft label is the share of the votes."""
    if config.soft_labels and config.ties != "drop" and pair.labelled_by_share:
        total = sum(pair.votes)
        return tuple(votes / total for votes in pair.votes)
    if pair.tie:
        return (0.0, 1.0, 0.0)
    label = pair.soft_label if config.soft_labels else 1.0
    return (label, 0.0, 1 - label)


def weights_of(pairs: Sequence[Pair], config: RewardConfig, seed: int) -> Tensor:
    """[pairs, members]: the pair's own weight; in an ensemble times a number of mean 1 that seed, pair and member draw
    from an exponential distribution, the bootstrap of a single pass (Osband et al. 2016, appendix on masks)."""
    own = torch.tensor([pair.weight for pair in pairs])[:, None]
    if config.members == 1:
        return own
    rows = [[random.Random(f"{seed}:{pair.id}:{m}").expovariate(1.0) for m in range(config.members)] for pair in pairs]
    return own * torch.tensor(rows)


def figures(difference: Tensor, pairs: Sequence[Pair]) -> dict[str, Tensor]:
    """The objective's metrics, from the differences [pairs, members]; nothing where all of the batch are ties."""
    decided = difference.detach()[torch.tensor([not pair.tie for pair in pairs], device=difference.device)]
    margin = decided.mean(dim=1)
    found = {"accuracy": (margin > 0).float(), "margin": margin}
    return found | ({"disagreement": decided.std(dim=1, unbiased=False)} if difference.shape[1] > 1 else {})
