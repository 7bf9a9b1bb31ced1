"""The value model: what reward is to be expected before each token of a response."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from peft import LoraConfig
from torch import Tensor, nn

from training.ml.adapter_switch import AdapterSwitch
from training.ml.batching import pad, sorted_batches
from training.ml.forward import hidden_states
from training.ml.logprobs import PAD
from training.ml.rollout import Rollout, by_response

ADAPTER = "value"
RANK = 8  # beside a frozen backbone; half the rank a policy gets by default, for one number a token


class ValueModel:
    """A head on the states of `body`, which wears the adapter "value" while it is asked. The head is in fp32."""

    def __init__(self, body: nn.Module, head: nn.Linear, switch: AdapterSwitch) -> None:
        self.body, self.head, self.switch = body, head, switch

    def at_work(self) -> AbstractContextManager[None]:
        """Call and backpropagate inside it."""
        return self.switch.wearing(ADAPTER)

    def weights(self) -> list[nn.Parameter]:
        """What is trained of it."""
        return [*self.switch.trained_added(), *self.head.parameters()]

    def __call__(self, rollouts: Sequence[Rollout]) -> Tensor:
        """V before each response token, [tokens], row after row, with gradient."""
        lengths = torch.tensor([len(rollout.ids) for rollout in rollouts])
        kept = int(lengths.max())
        device = next(self.body.parameters()).device
        batch = pad([prompt + ids for prompt, ids in (r.sequence for r in rollouts)], PAD, side="left").to(device)
        # Padded on the left, responses end together; the state at a token is what stands before the next one.
        states = hidden_states(self.body, batch)[:, -kept - 1 : -1]
        responses = torch.arange(kept) >= kept - lengths[:, None]
        return self.head(states[responses.to(device)].float())[:, 0]

    @torch.no_grad()
    def of(self, rollouts: Sequence[Rollout], batch_size: int) -> list[Tensor]:
        """V before each token of each response, in order."""
        found: dict[int, Tensor] = {}
        with self.at_work():
            for batch in sorted_batches([rollout.length for rollout in rollouts], batch_size):
                rows = [rollouts[i] for i in batch]
                found |= dict(zip(batch, by_response(self(rows), rows), strict=True))
        return [found[i] for i in range(len(rollouts))]

    @torch.no_grad()
    def calibrate(self, values: Sequence[Tensor], rewards: Sequence[float]) -> list[Tensor]:
        """Fit a V + b to what the responses were paid, by least squares with a >= 0, into the head; the values as they
        are then. A reward model speaks in other units than scaled rewards, and of unfinished texts it knows little: on
        the demo model its values began with an explained variance of -0.6, which this makes 0 at least."""
        found = torch.cat(list(values))
        paid = torch.cat([torch.full_like(v, reward) for v, reward in zip(values, rewards, strict=True)])
        spread = found.var(unbiased=False)
        shared = ((found - found.mean()) * (paid - paid.mean())).mean()
        a = (shared / spread).clamp(min=0) if spread > 0 else torch.zeros_like(spread)
        b = paid.mean() - a * found.mean()
        self.head.weight.mul_(a)
        self.head.bias.mul_(a).add_(b)
        return [a * v + b for v in values]


def fresh_adapter() -> LoraConfig:
    """A LoRA on all linear layers: identity until it is trained."""
    return LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear")


def new_head(body: nn.Module) -> nn.Linear:
    """Zero everywhere: without a reward model of this vocabulary nothing is known about the value yet."""
    weight = next(body.parameters())
    head = nn.Linear(body.config.get_text_config().hidden_size, 1, bias=True, device=weight.device)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def head_of(score: nn.Linear) -> nn.Linear:
    """The reward model's head as the value's first guess; of an ensemble the mean of its members. It gets a bias: what
    is to be expected is less than the score where the KL costs something."""
    head = nn.Linear(score.in_features, 1, bias=True, device=score.weight.device)
    with torch.no_grad():
        head.weight.copy_(score.weight.float().mean(dim=0, keepdim=True))
        head.bias.fill_(0.0 if score.bias is None else score.bias.float().mean().item())
    return head
