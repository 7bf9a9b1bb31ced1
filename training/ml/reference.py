"""Log-probabilities under the frozen start of a policy, kept per model and text: what was computed once is reused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from training.ml.adapters import adapter_off
from training.ml.batching import grouped_batches
from training.ml.lean_attention import attend_lean
from training.ml.logprobs import Sequences
from training.ml.predictions import logps, predictions
from training.ml.progress import Progress
from training.ml.token_logps import Tokens
from training.ml.vector_store import VectorStore
from training.recipes.adapters import VIRTUAL_TOKENS, AdapterConfig

Start = Callable[[], AbstractContextManager[nn.Module]]


class Reference:
    """What the frozen start thinks of every (prompt, completion) of a run. `counts` says what was computed for it."""

    def __init__(self, cache: Path, key: str) -> None:
        self._store = VectorStore(cache / "reference" / key, "logps")
        self._known: dict[str, Tensor] = {}
        self.counts = {"computed": 0, "reused": 0}

    def prepare(self, model: nn.Module, sequences: Sequences, batch_size: int, progress: Progress) -> None:
        """Have all of `sequences`: from the store, or computed now by `model`, which must be the frozen start as
        `untouched` gives it. What is computed is stored even if the run is cancelled in the midst of it. Several
        processes compute a share each, and read the others' from the store."""

        def tell(told: dict[str, Any]) -> None:
            progress.status("evaluating", what="reference", reference=told.pop("counts"), **told)

        wanted = {text_key(*sequence): sequence for sequence in sequences}
        found, self.counts = self._store.fill(
            wanted,
            lambda batch: frozen_logps(model, batch),
            lambda missing: grouped_batches(
                [len(prompt) + len(response) for prompt, response in missing],
                [tuple(prompt) for prompt, _ in missing],
                batch_size,
            ),
            tell,
        )
        self._known |= found

    def of(self, sequences: Sequences, device: torch.device) -> Tokens:
        """Token by token, as `token_logps` gives them; all of them must have been prepared."""
        if not sequences:
            return []
        known = [self._known[text_key(*sequence)] for sequence in sequences]
        # Together: a GPU waits for each copy.
        return list(torch.cat(known).to(device).split([len(one) for one in known]))

    def facts(self, config: AdapterConfig) -> dict[str, Any]:
        """The manifest's `reference`. `moved_at_start`: virtual tokens change the model before the first step, so the
        policy does not start at its reference, which is the bare model (the loss does not start at log 2)."""
        return {**self.counts, "moved_at_start": config.adapter in VIRTUAL_TOKENS}


def frozen_logps(model: nn.Module, sequences: Sequences) -> Tokens:
    """Without gradient and without the model's dropout, whatever mode it is in."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return list(logps(predictions(model, sequences)).split([len(completion) for _, completion in sequences]))
    finally:
        model.train(training)


def untouched(model: nn.Module, config: AdapterConfig) -> AbstractContextManager[nn.Module]:
    """The frozen start before the first step of training, when a model that is trained in full still is its own."""
    return adapter_off(model) if config.artifact_kind == "adapter" else nullcontext(model)


def frozen_start(model: nn.Module, config: AdapterConfig, load: Callable[[], nn.Module]) -> Start:
    """The reference: the adapter switched off, or, where every weight is trained, the model loaded once more."""
    if config.artifact_kind == "adapter":
        return lambda: adapter_off(model)
    start = load()
    attend_lean(start)  # as the policy does: until the first step it thinks the same, to the last bit
    return lambda: nullcontext(start)


def model_key(model: nn.Module, tokenizer: PreTrainedTokenizerBase, config: AdapterConfig) -> str:
    """Names the frozen start by what it computes with: every weight as loaded (base and merged adapters, in this
    precision), the chat template, the quantisation that an adapter method asks for, and the precision of the products
    where it is not the weights'."""
    whole = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        whole.update(f"{name} {weight.dtype} {tuple(weight.shape)}\0".encode())
        if weight.numel():
            whole.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    quantised = config.adapter if config.adapter == "qlora" else ""
    products = "products in bf16" if getattr(model, "multiplies_in_bf16", False) else ""
    whole.update(f"{tokenizer.chat_template}\0{quantised}{products}".encode())
    return whole.hexdigest()[:32]


def text_key(prompt: Sequence[int], completion: Sequence[int]) -> str:
    """Names a completion of a prompt by their tokens."""
    text = " ".join(map(str, prompt)) + " | " + " ".join(map(str, completion))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
