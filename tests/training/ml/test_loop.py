"""The training loop on a small linear model: plan, schedule, accumulation, checkpoints and their errors."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from training.ml import cancel, loop
from training.ml.checkpoint import NOT_KNOWN, Position, load_checkpoint, save_checkpoint
from training.ml.errors import ModelError
from training.ml.loop import Objective, Outcome, plan, train
from training.ml.optimizer import adamw, rate_factor
from training.ml.progress import Progress, read_lines
from training.recipes.optimizer import OptimizerConfig

CONFIG = OptimizerConfig(epochs=2, learning_rate=0.01, batch_size=4, gradient_accumulation=1, checkpoint_every=3)


@dataclass(frozen=True)
class Row:
    id: str
    length: int
    x: tuple[float, ...]
    y: float
    units: int = 1

    @property
    def tokens(self) -> int:
        return self.length


def rows(n: int = 22) -> list[Row]:
    draw = torch.Generator().manual_seed(3)
    xs = torch.randn(n, 3, generator=draw)
    return [Row(f"r{i}", 1 + (i * 7) % 11, tuple(x.tolist()), float(x.sum())) for i, x in enumerate(xs)]


def model() -> nn.Module:
    torch.manual_seed(1)
    # Dropout draws random numbers in every step: a resumed run is equal only if they are restored.
    return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3), nn.Linear(8, 1))


def squared_error(net: nn.Module) -> Objective:
    def objective(batch: Sequence[Row]) -> Outcome:
        guess = net(torch.tensor([row.x for row in batch]))[:, 0]
        losses = (guess - torch.tensor([row.y for row in batch])) ** 2
        return Outcome(losses, {"close": (losses < 1).float()})

    return objective


Wrap = Callable[[Objective], Objective]


def run(directory: Path, config: OptimizerConfig = CONFIG, wrap: Wrap = lambda objective: objective) -> nn.Module:
    directory.mkdir(exist_ok=True)
    net = model()
    train(net, rows(), wrap(squared_error(net)), config, seed=5, directory=directory, progress=Progress(directory))
    return net


def dies_at(number: int) -> Wrap:
    """While this batch, counted from 1, is computed."""
    calls = []

    def die(objective: Objective) -> Objective:
        def wrapped(batch: Sequence[Row]) -> Outcome:
            calls.append(batch)
            if len(calls) == number:
                raise KeyboardInterrupt
            return objective(batch)

        return wrapped

    return die


def curve(directory: Path) -> list[tuple[int, float, float]]:
    lines = [line for line in read_lines(directory / "progress.jsonl") if line["kind"] == "step"]
    return [(line["step"], line["metrics"]["loss"], line["metrics"]["grad_norm"]) for line in lines]


def weights(net: nn.Module) -> torch.Tensor:
    return nn.utils.parameters_to_vector(net.parameters())


def test_every_item_is_seen_once_an_epoch() -> None:
    data = rows()
    steps = plan(data, replace(CONFIG, epochs=3, gradient_accumulation=2), seed=0)
    seen = [position for step in steps for batch in step for position in batch]
    assert sorted(seen) == sorted(list(range(len(data))) * 3)
    assert len(steps) == 3 * math.ceil(math.ceil(len(data) / 4) / 2)


def test_batches_hold_items_of_like_length() -> None:
    data = rows(200)
    steps = plan(data, replace(CONFIG, epochs=1), seed=0)
    padded = sum(max(data[i].length for i in batch) * len(batch) for step in steps for batch in step)
    assert padded / sum(row.length for row in data) < 1.05


def test_the_plan_depends_on_seed_and_epoch_alone() -> None:
    data = rows()
    assert plan(data, CONFIG, seed=0) == plan(data, CONFIG, seed=0)
    assert plan(data, CONFIG, seed=0) != plan(data, CONFIG, seed=1)
    both = plan(data, CONFIG, seed=0)
    assert both[: len(both) // 2] != both[len(both) // 2 :]


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_the_learning_rate_rises_to_its_height_and_then_falls(schedule: str) -> None:
    config = replace(CONFIG, warmup_ratio=0.2, schedule=schedule)
    factors = [rate_factor(step, 20, config) for step in range(1, 21)]
    assert factors[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert factors[4] == 1.0
    assert all(0 < factor <= 1 for factor in factors)
    assert factors[4:] == sorted(factors[4:], reverse=True)
    assert (factors[-1] < 0.1) == (schedule != "constant")


def test_without_warmup_the_rate_is_that_of_the_usual_linear_schedule() -> None:
    config = replace(CONFIG, warmup_ratio=0.0)
    assert [rate_factor(step, 4, config) for step in (1, 2, 3, 4)] == [1.0, 0.75, 0.5, 0.25]


def test_accumulated_batches_make_the_step_of_one_large_batch(tmp_path: Path) -> None:
    data = [replace(row, units=1 + i % 3) for i, row in enumerate(rows(8))]
    ends, curves = [], []
    for name, size, parts in (("whole", 8, 1), ("split", 2, 4)):
        directory = tmp_path / name
        directory.mkdir()
        net = model().eval()
        net.train = lambda mode=True, net=net: net  # no dropout: the two draw it in different shapes
        config = replace(CONFIG, epochs=1, batch_size=size, gradient_accumulation=parts)
        # Eight rows make one step either way, so only the order of summing differs.
        train(net, data, squared_error(net), config, seed=5, directory=directory, progress=Progress(directory))
        ends.append(weights(net))
        curves.append(curve(directory))
    assert torch.allclose(ends[0], ends[1], atol=1e-6)
    # Loss and gradient too: neither Adam nor clipping would let the weights tell a gradient from twice as much.
    assert curves[0][0] == pytest.approx(curves[1][0], rel=1e-5)


def test_a_step_line_says_what_an_engineer_would_plot(tmp_path: Path) -> None:
    run(tmp_path / "run")
    lines = [line for line in read_lines(tmp_path / "run" / "progress.jsonl") if line["kind"] == "step"]
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert {line["steps"] for line in lines} == {12}
    assert lines[-1]["epoch"] == 2.0
    assert lines[-1]["eta_seconds"] == 0.0
    assert set(lines[0]["metrics"]) == {"loss", "close", "learning_rate", "grad_norm"}
    assert all(line["tokens_per_second"] > 0 for line in lines)
    assert lines[-1]["metrics"]["loss"] < lines[0]["metrics"]["loss"]


def test_a_cancelled_run_saves_a_checkpoint_and_resumes_to_the_same_end(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    calls = []

    def cancel_in_fifth_step(objective: Objective) -> Objective:
        def wrapped(batch: Sequence[Row]) -> Outcome:
            calls.append(batch)
            if len(calls) == 5:
                os.kill(os.getpid(), signal.SIGTERM)
            return objective(batch)

        return wrapped

    cancel.install()
    with pytest.raises(cancel.Cancelled):
        run(tmp_path / "cut", wrap=cancel_in_fifth_step)
    assert len(curve(tmp_path / "cut")) == 5
    cancel.reset()
    resumed = run(tmp_path / "cut")
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    assert torch.equal(weights(resumed), weights(whole))


@pytest.mark.parametrize("death", [2, 4, 11])
def test_a_run_that_died_resumes_from_its_last_checkpoint_without_double_steps(tmp_path: Path, death: int) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", wrap=dies_at(death))
    resumed = run(tmp_path / "cut")
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    assert torch.equal(weights(resumed), weights(whole))


def test_a_finished_run_started_again_trains_no_further(tmp_path: Path) -> None:
    first, again = run(tmp_path / "run"), run(tmp_path / "run")
    assert torch.equal(weights(first), weights(again))
    assert len(curve(tmp_path / "run")) == 12


def spoilt_at(number: int) -> Wrap:
    """The loss of this batch, counted from 1, is no number."""
    calls = []

    def spoil(objective: Objective) -> Objective:
        def wrapped(batch: Sequence[Row]) -> Outcome:
            calls.append(batch)
            outcome = objective(batch)
            return Outcome(outcome.losses * math.nan) if len(calls) == number else outcome

        return wrapped

    return spoil


def test_a_loss_that_is_not_a_number_ends_the_run_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"became nan .* r\d+.*last checkpoint are kept") as caught:
        run(tmp_path / "run", wrap=spoilt_at(5))
    assert caught.value.code == "nan_loss"
    net = model()
    saved = load_checkpoint(tmp_path / "run", net, adamw(net, CONFIG), _fingerprint(tmp_path / "run"), NOT_KNOWN)
    assert saved.step == 3
    assert torch.isfinite(weights(net)).all()


def test_before_the_first_checkpoint_none_is_spoken_of(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"became nan .* r\d+") as caught:
        run(tmp_path / "run", wrap=spoilt_at(2))
    assert "checkpoint" not in caught.value.message and "smaller learning rate" in caught.value.hint


def test_a_loss_that_is_none_before_anything_was_learned_is_the_models_own(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"at the very first step.* r\d+.*the model itself computes it") as caught:
        run(tmp_path / "run", wrap=spoilt_at(1))
    assert "checkpoint" not in caught.value.message and "changes nothing here" in caught.value.hint


def test_an_infinite_gradient_never_reaches_the_weights(tmp_path: Path) -> None:
    def steepen(objective: Objective) -> Objective:
        # sqrt has an infinite slope at 0: the loss is finite, its gradient is not.
        return lambda batch: Outcome((objective(batch).losses * 0).sqrt())

    with pytest.raises(ModelError, match="gradient became nan"):
        run(tmp_path / "run", wrap=steepen)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "run")
    with pytest.raises(ModelError) as caught:
        run(tmp_path / "run", replace(CONFIG, learning_rate=0.5))
    assert caught.value.code == "foreign_checkpoint"


@pytest.mark.parametrize(("before", "now", "fits"), [("a", "a", True), ("a", "b", False), ("", "b", True)])
@pytest.mark.parametrize("name", ["base", "reward_model"])
def test_a_checkpoint_goes_on_only_on_the_weights_that_it_was_begun_on(
    tmp_path: Path, name: str, before: str, now: str, fits: bool
) -> None:
    net = model()
    optimizer = adamw(net, CONFIG)
    same = {"base": "x", "reward_model": "y"}
    save_checkpoint(tmp_path, net, optimizer, Position("f", 3), same | {name: before})
    if fits:
        assert load_checkpoint(tmp_path, net, optimizer, "f", same | {name: now}).step == 3
        return
    with pytest.raises(ModelError, match="other weights") as caught:
        load_checkpoint(tmp_path, net, optimizer, "f", same | {name: now})
    assert caught.value.code == "foreign_checkpoint"


def test_a_checkpoint_that_was_being_replaced_is_found_again(tmp_path: Path) -> None:
    net = model()
    optimizer = adamw(net, CONFIG)
    save_checkpoint(tmp_path, net, optimizer, Position("f", 3), NOT_KNOWN)
    # What a kill between the two renames leaves: the old one moved away, the new one not yet in place.
    os.rename(tmp_path / "checkpoint", tmp_path / "checkpoint.old")
    (tmp_path / "checkpoint.tmp").mkdir()
    assert load_checkpoint(tmp_path, net, optimizer, "f", NOT_KNOWN).step == 3


def test_a_checkpoint_of_an_earlier_version_names_no_reward_model(tmp_path: Path) -> None:
    net = model()
    optimizer = adamw(net, CONFIG)
    save_checkpoint(tmp_path, net, optimizer, Position("f", 3), {"base": "x"})
    assert load_checkpoint(tmp_path, net, optimizer, "f", {"base": "x", "reward_model": "y"}).step == 3


def _fingerprint(directory: Path) -> str:
    return json.loads((directory / "checkpoint" / "position.json").read_text())["fingerprint"]


def test_no_moments_are_left_after_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first optimizer of a process outlives its training: frames of what torch loads late hold on to it."""
    made: list[torch.optim.AdamW] = []

    def kept(*given: Any) -> torch.optim.AdamW:
        made.append(adamw(*given))
        return made[0]

    monkeypatch.setattr(loop, "adamw", kept)
    run(tmp_path / "run")
    assert not made[0].state
