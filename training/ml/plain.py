"""A model as plain weights that any program loads: base and adapters merged, scores read where others read them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase

from training.ml.artifact import read_manifest
from training.ml.decoding import stop_ids
from training.ml.device import Device, thread_count
from training.ml.encoder import is_encoder_reward
from training.ml.job import ModelSpec
from training.ml.load import load_policy, load_reward_model, load_tokenizer, resolve

Source = dict[str, Path | Callable[[], None]]


def plain_model(spec: ModelSpec, source: Source) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str]:
    """Model, tokenizer and task ("policy" or "reward"), in fp32 on the CPU; no adapter is left.

    Raises ModelError as `load_policy` does; "adapter_not_mergeable" for virtual tokens and Houlsby adapters.
    """
    torch.set_num_threads(thread_count())
    here = Device(torch.device("cpu"), torch.float32, "cpu")
    task, tokenizer = task_of(spec, source), load_tokenizer(spec, **source)
    if task == "policy":
        model = load_policy(spec, device=here, **source)
        if model.generation_config is not None:  # others stop where it says
            model.generation_config.eos_token_id = sorted(stop_ids(model, tokenizer))
        return model, tokenizer, task
    # By name, as `load` does: peft takes seconds to import.
    files = importlib.import_module("training.ml.adapter_files")
    model = files.merged(load_reward_model(spec, device=here, **source))
    pad_apart_from_eos(tokenizer)
    model.config.get_text_config().pad_token_id = model.config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer, task


def task_of(spec: ModelSpec, source: Source) -> str:
    """What the last adapter was trained for; without adapters what the model's own configuration says."""
    if spec.adapters:
        return str(read_manifest(Path(spec.adapters[-1])).get("task"))
    config = AutoConfig.from_pretrained(resolve(spec.base, **source), trust_remote_code=False)
    names = config.architectures or []
    classifies = any(name.endswith("ForSequenceClassification") for name in names)
    return "reward" if classifies or is_encoder_reward(config) else "policy"


def pad_apart_from_eos(tokenizer: PreTrainedTokenizerBase) -> None:
    """transformers reads a score at the last token that is not padding, by its id. A scored text ends with EOS, so any
    other token may pad; where EOS itself pads, the score would be read one token early."""
    eos = tokenizer.eos_token_id
    if tokenizer.pad_token_id in (None, eos):
        candidates = [tokenizer.unk_token_id, tokenizer.bos_token_id, *tokenizer.all_special_ids, 0, 1]
        pad = next(token for token in candidates if token is not None and token != eos)
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(pad)
    tokenizer.padding_side = "right"
