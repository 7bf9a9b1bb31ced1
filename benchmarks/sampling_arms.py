"""The sampling arm of benchmarks/training.py: ours, and `generate` on fixed batches of prompts of mixed lengths."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from benchmarks.operations import Sizes, drawn_once, peak
from tests.training.planted import planted_rows
from training.ml.batching import pad, sorted_batches
from training.ml.chat import prompt_ids
from training.ml.decoding import Drawing, complete, stop_ids
from training.ml.device import choose_device
from training.ml.job import ModelSpec
from training.ml.load import load_speaker, load_tokenizer
from training.ml.products import as_torch_comes
from training.ml.sampling import make_ready
from training.ml.waiting import common_to

DRAWING = {"temperature": 0.7, "top_p": 0.9}
WARM_UP = 8  # tokens
REPEATED = (1, 1, 3, 1, 6, 2, 1, 4)  # how often a prompt says its question: lengths differ as users' do


def sampled(asked: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Responses to `prompts` prompts, `copies` each; counted are the tokens up to the one that ends a response."""
    spec, device = ModelSpec(asked["model"]), choose_device()
    tokenizer = load_tokenizer(spec, cache=folder)
    model = load_speaker(spec, cache=folder, device=device)
    prompts = [prompt_ids(tokenizer, messages) for messages in mixed(asked["prompts"])]
    stop = stop_ids(model, tokenizer)
    speed, source = peak(device.torch_device, device.dtype)
    if asked["side"] == "theirs":
        as_torch_comes()
    way = ours if asked["side"] == "ours" else theirs
    if device.torch_device.type == "cuda":  # which loads its kernels as they are asked for first
        first = prompts[: asked["batch_size"]]
        list(way(model, first, stop, tokenizer.pad_token_id, {**asked, "max_new_tokens": WARM_UP}))
    began, worked = time.perf_counter(), time.process_time()
    lengths = list(way(model, prompts, stop, tokenizer.pad_token_id, asked))
    seconds, processor = time.perf_counter() - began, time.process_time() - worked
    needed = drawn_once(Sizes.of(model.config), lengths, asked["copies"], common_to(prompts))
    tokens = sum(response for _, response in lengths)
    return {
        "seconds": seconds,
        "processor": processor,
        "tokens": tokens,
        "responses": len(lengths),
        "tokens_per_second": tokens / seconds,
        "needed": needed,
        "peak": speed,
        "peak_source": source,
        "floor_seconds": needed / speed,
        "share": needed / speed / (seconds if torch.cuda.is_available() else processor),
    }


def mixed(count: int) -> list[list[dict[str, str]]]:
    rows = planted_rows(count)
    return [
        [{"role": "user", "content": " ".join([row["prompt"][0]["content"]] * REPEATED[i % len(REPEATED)])}]
        for i, row in enumerate(rows)
    ]


def ours(
    model: PreTrainedModel, prompts: list[list[int]], stop: frozenset[int], pad_id: int, asked: dict[str, Any]
) -> Iterator[tuple[int, int]]:
    """Sorted by length, as a sampling run puts them, by a model that it has made ready."""
    make_ready([model])
    [order] = sorted_batches([len(prompt) for prompt in prompts], len(prompts))
    prompts = [prompts[place] for place in order]
    drawing = Drawing(**DRAWING, max_new_tokens=asked["max_new_tokens"])
    seeds = [[1000 * place + copy for copy in range(asked["copies"])] for place in range(len(prompts))]
    found = complete(
        model, prompts, seeds, stop=stop, pad_id=pad_id, drawing=drawing, rows=asked["batch_size"] * asked["copies"]
    )
    for one in found:
        yield len(prompts[one.row // asked["copies"]]), len(one.ids)


@torch.inference_mode()
def theirs(
    model: PreTrainedModel, prompts: list[list[int]], stop: frozenset[int], pad_id: int, asked: dict[str, Any]
) -> Iterator[tuple[int, int]]:
    """In the order in which the prompts come, as a script would."""
    torch.manual_seed(0)
    size = asked["batch_size"]
    for start in range(0, len(prompts), size):
        chosen = prompts[start : start + size]
        batch = pad(chosen, pad_id, side="left").to(model.device)
        drawn = model.generate(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            do_sample=True,
            **DRAWING,
            top_k=0,
            max_new_tokens=asked["max_new_tokens"],
            num_return_sequences=asked["copies"],
            eos_token_id=sorted(stop),
            pad_token_id=pad_id,
        )[:, batch.input_ids.shape[1] :]
        for row, tokens in enumerate(drawn.tolist()):
            ends = next((place + 1 for place, token in enumerate(tokens) if token in stop), len(tokens))
            yield len(chosen[row // asked["copies"]]), ends
