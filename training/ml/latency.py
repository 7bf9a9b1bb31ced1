"""How long a trained model takes for a text, as it was trained and merged, against the model that it was made from.

The protocol is fixed, so that cells of a bench can be compared: TEXTS held-out texts, one at a time; a reward model
scores each, a policy writes NEW_TOKENS tokens after its prompt. Each text is timed PASSES times after WARM_UP texts,
and the fastest counts, because other work on the machine can only slow it down.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from training.ml import adapter_files, durable
from training.ml.artifact import read_manifest
from training.ml.batching import pad
from training.ml.decoding import Drawing, complete
from training.ml.device import choose_device
from training.ml.errors import ModelError, is_out_of_memory
from training.ml.intervals import median, undefined
from training.ml.job import Job, ModelSpec
from training.ml.load import load_policy, load_reward_base, load_reward_model, load_tokenizer
from training.ml.pairs import Pair, read_pairs
from training.ml.precision import for_frozen
from training.ml.progress import Progress
from training.ml.scoring import rewards
from training.recipes.words import gettext_noop

TEXTS, WARM_UP, PASSES = 20, 3, 3
NEW_TOKENS = 16
ALL_OF_THEM = Drawing(temperature=0, top_p=1, max_new_tokens=NEW_TOKENS)
PLAIN = gettext_noop("Nothing stands beside the model: what was trained are its own weights.")
STOPPED = gettext_noop("The run was stopped while it was measured.")  # in manifests of before: it is measured later now
NO_MEMORY = gettext_noop("The memory did not suffice for measuring it.")
Timing = list[float]
Timed = Callable[[nn.Module, Pair], None]


def add(job: Job) -> None:
    """Writes `latency` into the manifest of the finished artifact, once; a failure is told there, and is none of the
    run's, whose work is done. One that is stopped writes nothing, and is measured at its next start."""
    artifact = job.directory / "artifact"
    if "latency" in read_manifest(artifact):
        return
    gc.collect()
    Progress(job.directory).status("evaluating", what="latency")
    try:
        found = measure(job, artifact)
    except ModelError as error:
        found = _without(error.template, **error.values)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        found = _without(NO_MEMORY)
    manifest = {**read_manifest(artifact), "latency": found}
    text = json.dumps(manifest, ensure_ascii=False, indent=1) + "\n"
    # By way of the job's folder: in an artifact there is never anything but what belongs to it.
    durable.whole(artifact / "manifest.json", text, by=job.directory / "manifest.tmp")


def measure(job: Job, artifact: Path) -> dict[str, Any]:
    """{"base", "unmerged", "merged"}: seconds a text, median with interval, the last two with their `ratio` to the
    base; or, where there is no such thing, why. `alternated` says that base and model were timed text by text."""
    device = for_frozen(choose_device())
    source: dict[str, Any] = {"cache": job.cache}
    tokenizer, manifest = load_tokenizer(job.model, **source), read_manifest(artifact)
    task = manifest["task"]
    texts = _texts(job, tokenizer)
    timed = _scoring(tokenizer) if task == "reward" else _writing(tokenizer)
    load = load_policy if task == "policy" else partial(load_reward_base, members=job.config.members)
    base = Base(timed, load(job.model, device=device, **source), texts)
    if manifest["kind"] == "full":
        whole = load_policy if task == "policy" else load_reward_model
        forms = {"unmerged": undefined(0, PLAIN)}
        forms["merged"] = base.against(whole(ModelSpec(str(artifact)), device=device, **source))
    else:
        # On the CPU until the adapter is there: 4-bit weights must come out the same as they did for the training.
        here = replace(device, torch_device=torch.device("cpu"))
        model = adapter_files.attach(load(job.model, device=here, **source), artifact)
        forms = _both_forms(base, model, device.torch_device)
    what = "score" if task == "reward" else f"{NEW_TOKENS} tokens"
    return {"what": what, "alternated": base.model is not None, "base": median(base.seconds), **forms}


class Base:
    """The bare model. It stays in memory where a second copy of it has room there: then every text is timed on both,
    one right after the other, and what else the machine does falls on both alike."""

    def __init__(self, timed: Timed, model: nn.Module, texts: Sequence[Pair]) -> None:
        self._timed, self._texts = timed, texts
        (self.seconds,) = timings(timed, [model], texts)
        self.model = model if _has_room_beside(model) else None

    def against(self, model: nn.Module) -> dict[str, Any]:
        model.eval()
        if self.model is None:
            old, (new,) = self.seconds, timings(self._timed, [model], self._texts)
        else:
            old, new = timings(self._timed, [self.model, model], self._texts)
        return {**median(new), "ratio": median([after / before for after, before in zip(new, old, strict=True)])}


def timings(timed: Timed, models: Sequence[nn.Module], texts: Sequence[Pair]) -> list[Timing]:
    """Of each model the seconds for each text: the fastest of its passes."""
    for pair in texts[:WARM_UP]:
        for model in models:
            timed(model, pair)
    found: list[Timing] = [[] for _ in models]
    for pair in texts:
        passes = [[_seconds(timed, model, pair) for model in models] for _ in range(PASSES)]
        for timing, of_model in zip(found, zip(*passes, strict=True), strict=True):
            timing.append(min(of_model))
    return found


def _both_forms(base: Base, model: nn.Module, where: torch.device) -> dict[str, Any]:
    found = base.against(model.to(where))
    if not hasattr(model, "peft_config"):
        return {"unmerged": undefined(0, PLAIN), "merged": found}
    try:
        merged = adapter_files.merged(model)
    except ModelError as error:
        if error.code != "adapter_not_mergeable":
            raise
        return {"unmerged": found, "merged": undefined(0, error.template, **error.values)}
    return {"unmerged": found, "merged": base.against(merged.to(where))}


def _has_room_beside(model: nn.Module) -> bool:
    """Half as much again for what is computed."""
    weights = list(model.parameters())
    wanted = 1.5 * sum(weight.numel() * weight.element_size() for weight in weights)
    if weights[0].device.type == "cuda":
        torch.cuda.empty_cache()  # what a training has left behind counts as taken
        return wanted < torch.cuda.mem_get_info()[0]
    return wanted < psutil.virtual_memory().available


def _seconds(timed: Timed, model: nn.Module, pair: Pair) -> float:
    _wait()
    began = time.perf_counter()
    timed(model, pair)
    _wait()
    return time.perf_counter() - began


def _wait() -> None:
    """A GPU is given work and goes on with it by itself."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _scoring(tokenizer: PreTrainedTokenizerBase) -> Timed:
    @torch.inference_mode()
    def score(model: nn.Module, pair: Pair) -> None:
        device = next(model.parameters()).device
        rewards(model, pad([pair.prompt_ids + pair.chosen_ids], tokenizer.pad_token_id).to(device))

    return score


def _writing(tokenizer: PreTrainedTokenizerBase) -> Timed:
    """No token ends the response, so that every model draws as many."""

    def write(model: nn.Module, pair: Pair) -> None:
        asked = {"stop": frozenset(), "pad_id": tokenizer.pad_token_id, "drawing": ALL_OF_THEM}
        for _completion in complete(model, [pair.prompt_ids], [[0]], **asked):
            pass

    return write


def _texts(job: Job, tokenizer: PreTrainedTokenizerBase) -> list[Pair]:
    """The first held-out pairs, and of the others as many as are lacking."""
    found: list[Pair] = []
    for path in (job.data.test, job.data.train):
        if len(found) < TEXTS:
            found += read_pairs(path, tokenizer, job.config.max_length).kept[: TEXTS - len(found)]
    return found


def _without(template: str, **values: Any) -> dict[str, Any]:
    why = undefined(0, template, **values)
    return {name: why for name in ("base", "unmerged", "merged")}
