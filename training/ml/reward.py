"""Recipe "reward": trains a model that scores responses, from pairs, by the likelihood of their judgments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.ml.adapters import apply_adapter, parameter_counts, require_change, save_weights, trainable_hash
from training.ml.artifact import write_artifact
from training.ml.checkpoint import Position, base_of
from training.ml.device import choose_device
from training.ml.dropout import switch_off_dropout
from training.ml.evaluate import evaluate_reward, headline
from training.ml.features import Features, StandardisedHead, for_head, penalised
from training.ml.job import Job
from training.ml.load import load_reward_base, load_tokenizer
from training.ml.loop import Objective, train
from training.ml.machine import settle
from training.ml.pairs import Pair, PairData, load_pairs
from training.ml.precision import for_training
from training.ml.progress import Progress
from training.ml.prompt_groups import PromptGroup, by_prompt
from training.ml.reference import model_key
from training.ml.reward_objective import Scorer, both_sides, by_model, preference_likelihood, shares_of
from training.ml.tie_parameter import TieParameter
from training.recipes.adapters import HEAD
from training.recipes.reward import RewardConfig


@dataclass(frozen=True)
class Learner:
    """What is trained and how it scores; `finish` brings what was learned into the model, `facts` go into the
    manifest."""

    trained: nn.Module
    scores: Scorer
    config: RewardConfig
    base: str  # what names the weights that it stands on
    penalty: Callable[[Objective], Objective] = lambda objective: objective
    finish: Callable[[], None] = lambda: None
    facts: dict[str, Any] = field(default_factory=dict)


def run(job: Job) -> None:
    """Load, prepare, train, evaluate, write the artifact. Raises ModelError for every known failure."""
    config, progress = job.config, Progress(job.directory)
    device = for_training(choose_device(), config)
    source = {"cache": job.cache, "on_convert": lambda: progress.status("converting")}

    progress.status("loading")
    torch.manual_seed(job.seed)  # draws the new head
    tokenizer = load_tokenizer(job.model, **source)
    model = load_reward_base(job.model, device=device, members=config.members, **source)
    switch_off_dropout(model)
    wanted = {"with_ties": config.ties != "drop", "with_test_annotators": True}
    data = load_pairs(job.data, tokenizer, model, config.max_length, **wanted)
    progress.left_out(data.dropped)
    model = apply_adapter(model, config, "reward")
    items = items_of(data, config)
    machine = settle(model, config, device, items, rows=max(item.rows for item in items))
    learner = (on_features if config.adapter == HEAD else on_texts)(model, tokenizer, data, job, progress)

    untrained = trainable_hash(learner.trained)
    progress.status("training", data=data.counts(), **machine)
    end, ties = learn(learner, data, job, progress)
    log_odds = (lambda margins: margins) if ties is None else ties.log_odds
    require_change(learner.trained, untrained)
    learner.finish()

    progress.status("evaluating")
    scores = partial(both_sides, learner.scores)
    learned_from = data.train + data.ties
    metrics = evaluate_reward(scores, data.test, config.batch_size, learned_from, log_odds, data.test_annotators)
    progress.evaluation(metrics=headline(metrics), step=end.step)

    progress.status("saving")
    facts: dict[str, Any] = {
        "kind": config.artifact_kind,
        "task": "reward",
        "config": asdict(config),
        "parameters": parameter_counts(model),
        "metrics": metrics,
        "data": data.facts(),
        "seconds": end.seconds,
        **machine,
        **learner.facts,
        **({} if ties is None else {"ties": {**ties.facts(), "train": len(data.ties)}}),
    }
    write_artifact(job, lambda directory: save_weights(model, tokenizer, directory), facts)


def items_of(data: PairData, config: RewardConfig) -> list[Pair] | list[PromptGroup]:
    """What it learns from: pairs, or all pairs of a prompt as one."""
    pairs = data.train + data.ties
    return by_prompt(pairs) if config.group_by_prompt else pairs


def learn(learner: Learner, data: PairData, job: Job, progress: Progress) -> tuple[Position, TieParameter | None]:
    """Train by the likelihood that the settings ask for; where the run ended, and what was learned of ties if they
    count."""
    config, pairs = job.config, data.train + data.ties
    share = sum(shares_of(pair, config)[1] for pair in pairs) / len(pairs)
    ties = None if config.ties == "drop" else TieParameter(share, learner.config)
    trained = learner.trained
    if ties is not None:
        trained = nn.ModuleDict({"model": trained, "ties": ties.to(next(trained.parameters()).device)})
    objective = learner.penalty(preference_likelihood(learner.scores, config, job.seed, ties))
    where = {"seed": job.seed, "directory": job.directory, "progress": progress, "by_item": learner.config.by_item}
    where["begun_on"] = {"base": learner.base}
    return train(trained, items_of(data, config), objective, learner.config, **where), ties


def on_texts(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, data: PairData, job: Job, progress: Progress
) -> Learner:
    """Every step reads the texts."""
    return Learner(model, by_model(model, tokenizer.pad_token_id), job.config, base_of(model))


def on_features(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, data: PairData, job: Job, progress: Progress
) -> Learner:
    """The body reads every text once, if no run before has made it; what is trained is a head on what it has found."""
    config = job.config
    known = Features(job.cache, model_key(model.base_model, tokenizer, config))
    learned_from = [ids for pair in data.train + data.ties for ids in pair.sequences]
    pairs = data.train + data.ties + data.test + (data.test_annotators or [])
    texts = [(pair.prompt_ids, response) for pair in pairs for response in (pair.chosen_ids, pair.rejected_ids)]
    known.prepare(model, tokenizer.pad_token_id, texts, config.batch_size, progress)
    head = StandardisedHead(model.score, known.of(learned_from))
    return Learner(
        trained=head,
        scores=lambda texts: head(known.of([prompt + response for prompt, response in texts])),
        config=for_head(config),
        base=base_of(model),
        penalty=lambda objective: penalised(objective, head, config.head_l2),
        finish=lambda: head.fold_into(model.score),
        facts={"features": known.facts},
    )
