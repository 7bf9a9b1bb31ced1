"""How long a run takes, part by part: the operations of its tokens over what the device does in a second, corrected by
how long an earlier run like it took."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from training.recipes.adapters import HEAD, LOW_RANK
from training.recipes.estimate.adapters import Parameters, experts, separate
from training.recipes.estimate.checkpointing import is_checkpointed
from training.recipes.estimate.layout import Architecture
from training.recipes.estimate.players import Rewarder, value_model
from training.recipes.estimate.workload import DRAWN, Workload

Source = Literal["earlier run", "matrix product", "given", "unknown"]
Kept = Literal["reference", "features", "probes"]
REFERENCED = ("dpo", "kto")  # the frozen start reads every example once
# How often the held-out examples are read, by the model or its start (training/ml/policy_figures.py and others).
READ_AT_THE_END = {"reward": 1, "sft": 4, "dpo": 2, "kto": 5, "orpo": 3, "simpo": 3}
ASKED_AT_THE_END = 64  # held-out prompts of a recipe that draws (training/ml/rollout_evaluation.py)
# Of the few held-out answers that are shown, drawn side by side (training/ml/side_by_side.py).
ANSWERED, ANSWER_TOKENS = 3, 80
# As measured (docs/performance.md): libraries and a run's own start and end, in seconds, and the reading
# of a model from the disk, in bytes a second.
STARTED, LOADED = 13.0, 5e8
FP32 = 4


@dataclass(frozen=True)
class Speed:
    """What the device does in a second: `operations_per_second` in training, and `bytes_per_second` of the weights
    where a few rows are multiplied with them, as in drawing (0: not known, and not the limit).

    `learning` and `rest` say how many times as long as is computed from that the training of an earlier run like it
    took, and all else of it; `by_head` that it trained a head on features, which says nothing of other methods, nor
    they of it. `nominal`: the two figures are made up, and only the products with what that run took mean something.
    `source` says where the figures come from, and `told` which run it was.
    """

    source: Source = "unknown"
    operations_per_second: float = 0.0
    bytes_per_second: float = 0.0
    learning: float = 1.0
    rest: float = 1.0
    by_head: bool = False
    nominal: bool = False
    told: str = ""


# Where a pair is two of what a step counts.
ITEMS = {"kto": 2}


@dataclass(frozen=True)
class Data:
    """What a run learns from: `examples`, of `tokens` each (of a pair both sides together, `prompt` of them repeating
    the prompt), 0 where it is not known, and of at most `responses` to a prompt, 0 as well; `held_out` more of them
    that it is measured on, and `probed` tokens of texts and questions that it is asked before and after. `kept`: what
    the start makes of them, as far as an earlier run has kept it. A step counts `items`, of which an example can be
    several: KTO takes pairs apart."""

    examples: int
    tokens: float
    prompt: float = 0.0
    held_out: int = 0
    probed: float = 0.0
    kept: frozenset[Kept] = frozenset()
    responses: int = 0
    items: int = 1


@dataclass(frozen=True)
class Durations:
    """Seconds, by part: `loading` (the process, its libraries, the model), `reading` (what the frozen model makes of
    the examples, once), `training`, `answers` (the looks at it on its way), and `evaluation`."""

    parts: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        return sum(self.parts.values())

    @property
    def training(self) -> float:
        """From the first step to the last, as a run's manifest tells it: with the answers on the way."""
        return self.parts["training"] + self.parts["answers"]

    @property
    def rest(self) -> float:
        return self.total - self.training


@dataclass(frozen=True)
class Clock:
    """Seconds of a model's passes at a speed."""

    model: Architecture
    config: Any
    counted: Parameters
    work: Workload
    speed: Speed
    reward: Rewarder | None = None

    def reads(self, tokens: float) -> float:
        """Without a gradient; of `tokens`, as many are responses as in the longest batch."""
        return tokens * forward(self.model, self.config, self.counted, self.work) / self.speed.operations_per_second

    def scores(self, tokens: float) -> float:
        if self.reward is None:
            return 0.0
        return 2.0 * tokens * self.reward.model.body * self.reward.separate / self.speed.operations_per_second

    def learns(self, tokens: float) -> float:
        each = operations_per_token(self.model, self.config, self.counted, self.work, self.reward)
        return tokens * separate(self.config) * each / self.speed.operations_per_second

    def draws(self, rows: float, tokens: float, at_once: int) -> float:
        """`rows` of `tokens` each. A step of few rows waits for the weights, one of many for the products."""
        if not rows:
            return 0.0
        steps = tokens * max(rows / at_once, 1.0)
        step = 2.0 * self.model.policy * min(at_once, rows) / self.speed.operations_per_second
        if self.speed.bytes_per_second:
            step = max(step, FP32 * self.model.policy / self.speed.bytes_per_second)
        return steps * step


def durations(
    model: Architecture,
    config: Any,
    counted: Parameters,
    work: Workload,
    data: Data,
    speed: Speed,
    reward: Rewarder | None = None,
) -> Durations | None:
    """Of a whole run, from its start to its last figure; None where the speed or the data is not known."""
    bears = (config.adapter == HEAD) == speed.by_head
    if not speed.operations_per_second or not data.examples or (speed.nominal and not bears):
        return None
    if not bears:
        speed = replace(speed, learning=1.0, rest=1.0)
    clock = Clock(model, config, counted, work, speed, reward)
    parts = {"loading": _loading(clock), "reading": _reading(clock, data)}
    parts |= {"training": _training(clock, data), "answers": _answers(clock, data)}
    parts |= {"evaluation": _evaluation(clock, data)}
    within = ("training", "answers")
    return Durations(
        {name: spent * (speed.learning if name in within else speed.rest) for name, spent in parts.items()}
    )


def _loading(clock: Clock) -> float:
    """A policy that is trained whole has its start beside it."""
    numbers = clock.model.policy * (2 if clock.config.adapter == "full" and clock.work.task == "policy" else 1)
    if clock.reward is not None and not clock.reward.on_policy:
        numbers += clock.reward.model.body
    return STARTED + FP32 * numbers / LOADED


def _reading(clock: Clock, data: Data) -> float:
    """Of a head's features, or of a reference."""
    by_head = clock.config.adapter == HEAD
    if not by_head and clock.work.recipe not in REFERENCED:
        return 0.0
    if ("features" if by_head else "reference") in data.kept:
        return 0.0
    return clock.reads((data.examples + data.held_out) * example_tokens(clock.work, data))


def _training(clock: Clock, data: Data) -> float:
    config, work = clock.config, clock.work
    if config.adapter == HEAD:
        return 0.0  # of features that have been read
    learned = clock.learns(training_tokens(config, work, data))
    if work.recipe == "kto":  # the baseline of every batch, by the policy and its start
        return learned + 2 * clock.reads(training_tokens(config, work, data))
    if work.recipe not in DRAWN:
        return learned
    rows = data.examples * config.epochs * getattr(config, "generations", 1)
    tokens = rows * example_tokens(work, data)
    passes = 3 if work.recipe == "ppo" else 2  # policy and reference, and the value of every token
    return learned + clock.draws(rows, work.response, work.drawn) + passes * clock.reads(tokens) + clock.scores(tokens)


def _answers(clock: Clock, data: Data) -> float:
    """Of the held-out prompts that are answered every so many steps, if they are."""
    config, every = clock.config, getattr(clock.config, "samples_every", 0)
    if not every:
        return 0.0
    steps = config.epochs * -(-data.examples * data.items // (config.batch_size * config.gradient_accumulation))
    return steps // every * clock.draws(min(data.held_out, ANSWERED), ANSWER_TOKENS, ANSWERED)


def _evaluation(clock: Clock, data: Data) -> float:
    """On held-out examples, and of a policy what it has unlearned, and a few answers, old and new."""
    config, work, each = clock.config, clock.work, example_tokens(clock.work, data)
    if config.adapter == HEAD:
        return 0.0
    if work.task == "reward":
        return separate(config) * clock.reads(data.held_out * each)
    tax = clock.reads(data.probed * (1 if "probes" in data.kept else 2))
    if work.recipe in DRAWN:
        rows = min(data.held_out, ASKED_AT_THE_END)
        drawn = 2 * clock.draws(rows, work.response, work.drawn)
        return tax + drawn + 2 * clock.reads(rows * each) + 2 * clock.scores(rows * each)
    answers = 2 * clock.draws(1, ANSWER_TOKENS, 1) if data.held_out else 0.0
    return tax + answers + clock.reads(READ_AT_THE_END[work.recipe] * data.held_out * each)


def example_tokens(work: Workload, data: Data) -> float:
    """That are computed: of a pair both sides together, of a prompt with what is drawn for it."""
    if work.recipe in DRAWN:
        return (data.tokens or work.length - work.response) + work.response
    twice = data.prompt if work.prompts_once else 0.0
    return (data.tokens - twice) or work.together * work.length


def training_tokens(config: Any, work: Workload, data: Data) -> float:
    """Tokens that go through the model to learn from them, in the whole run."""
    each = example_tokens(work, data)
    if work.recipe in DRAWN:
        each *= getattr(config, "ppo_epochs", getattr(config, "updates", 1)) * getattr(config, "generations", 1)
    return config.epochs * data.examples * each


def forward(model: Architecture, config: Any, counted: Parameters, work: Workload) -> float:
    """Operations of a token on its way up: two for each weight that it meets (Kaplan et al. 2020, section 2.1), and
    attention's products with keys and values. The output layer is met by the responses' tokens alone; a table of words
    by none."""
    blocks, attention = _products(model, work.length)
    return 2 * (blocks + _output(model, work) + _added(model, config, counted)) + attention


def operations_per_token(
    model: Architecture, config: Any, counted: Parameters, work: Workload, reward: Rewarder | None = None
) -> float:
    """Of a token that is learned from: `forward`, two operations a weight for the gradient on its way down, and two
    more for the gradient of a trained weight (6N where all are trained)."""
    blocks, attention = _products(model, work.length)
    depth = config.layers / model.layers if config.adapter == "last_layers" else 1.0
    trained = depth * blocks if config.adapter in ("full", "last_layers") else 0
    added = _added(model, config, counted)
    up = forward(model, config, counted, work)
    down = 2 * (depth * blocks + _output(model, work) + added) + 2 * depth * attention + 2 * (trained + added)
    values = 0.0
    if work.recipe == "ppo" and reward is not None:  # the value model learns beside the policy
        read, looked = _products(value_model(model, config, work, reward).host, work.length)
        values = (6 * read + 4 * looked) if is_checkpointed(config) else (4 * read + 3 * looked)
    return up + down + values + (up if is_checkpointed(config) else 0)


def _products(model: Architecture, length: int) -> tuple[int, int]:
    """Of a token: weights that it meets in the blocks (of a mixture those of the chosen experts), and operations with
    keys and values (causal: half of all pairs, twice)."""
    met = sum(layer.inputs * layer.outputs for layer in model.linears)
    met += sum(part.met * part.inputs * part.outputs for part in model.experts)
    return model.layers * met, 2 * model.layers * model.queries * length


def _output(model: Architecture, work: Workload) -> float:
    return model.vocabulary * model.width * work.kept / (work.rows * work.length)


def _added(model: Architecture, config: Any, counted: Parameters) -> float:
    if config.adapter == "houlsby":
        return counted.added
    if config.adapter not in LOW_RANK:
        return 0.0
    return counted.added / separate(config) - experts(model, config) + experts(model, config, met=True)
