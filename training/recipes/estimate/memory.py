"""Bytes of memory that a run holds at its peak, part by part, as training/ml holds them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from training.recipes.adapters import HEAD, SELECTIVE
from training.recipes.estimate.activations import (
    BEFORE_THE_TEXT,
    HALF,
    SINGLE,
    Batch,
    block_bytes,
    is_grouped_query,
    saved_bytes,
    working_bytes,
)
from training.recipes.estimate.adapters import Parameters, head_of, parameters, separate, targeted
from training.recipes.estimate.checkpointing import is_checkpointed
from training.recipes.estimate.four_bits import saved_by_packing
from training.recipes.estimate.layout import Architecture
from training.recipes.estimate.parallel import parted, require_partable
from training.recipes.estimate.players import MOMENTS, Rewarder, beside, players, value_model
from training.recipes.estimate.workload import (
    BESIDE_THEIR_START,
    DRAWN,
    EVALUATED,
    OWN_DROPOUT,
    PAIRS,
    PIECE_COPIES,
    WHOLE_COPIES,
    Workload,
)
from training.recipes.shared_rows import (
    FAMILIES,
    LOGITS_AT_ONCE,
    LOGITS_AT_ONCE_ON_A_GPU,
    MAY_HAVE_WINDOWS,
    deal,
)

PARTS = ("weights", "gradients", "optimizer", "activations", "reference", "value", "reward", "kv_cache")
# Of the activations: glibc keeps freed blocks of up to 32 MB, and they do not all fit what is asked for next. Measured
# with the demo model, 0.26 to 0.67 (docs/performance.md); a GPU's memory is torch's own.
HEAP = 0.65
# Of each logit while a token is drawn: logits, their copy and probabilities (4 each), sorted (4 and the 8 of their
# places), summed up in double precision, and its difference (8 each).
DRAWING = 40


@dataclass(frozen=True)
class Memory:
    """`parts` at the moment of the peak. `activations` is what the peak holds beyond all other parts: where two parts
    are never there together (gradients and activations of one batch; the cache of keys and values and both), they take
    the place of one another. `heap`: freed blocks that the process may keep beside them."""

    parts: dict[str, int]
    heap: int = 0

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    def as_dict(self) -> dict[str, int]:
        return {**self.parts, "total": self.total}


@dataclass(frozen=True)
class Precision:
    """Bytes of a number of the base model, and of its activations; what is trained is always kept in fp32. `copied`: of
    the copy of a weight that its product keeps until its backward pass."""

    base: int
    copied: int = 0
    gpu: bool = False

    @staticmethod
    def on(device: str, config: Any) -> Precision:
        """bf16 on a GPU; where the model's own weights are trained, for their products (training/ml/precision.py). Some
        activations are kept in fp32 then: they are counted as if all were."""
        if device != "gpu":
            return Precision(SINGLE)
        own = config.adapter == "full" or config.adapter in SELECTIVE
        return Precision(SINGLE, copied=HALF, gpu=True) if own else Precision(HALF, gpu=True)


def memory(
    model: Architecture,
    config: Any,
    work: Workload,
    device: str,
    reward: Rewarder | None = None,
    processes: int = 1,
) -> Memory:
    """Of one of the processes that compute the run together. Of a recipe that draws beside `reward`, where that is not
    known beside one like the policy. Raises RecipeError as `parameters` does, and for what cannot be parted."""
    require_partable(config, processes)
    work = with_prompts_once(model, work, device)
    counted, precision = parameters(model, config, work.task), Precision.on(device, config)
    parts = dict.fromkeys(PARTS, 0)
    parts["weights"] = weights(model, config, counted, precision, work)
    parts["gradients"] = counted.trainable * SINGLE
    parts["optimizer"] = counted.trainable * MOMENTS
    loading = parts["weights"]  # every process reads the whole model before it is parted
    parts |= parted(model, config, parts, counted, precision.base, processes)
    parts["reference"] = start_beside(config, work, counted)
    if reward := beside(reward, model, config, work):
        parts |= players(model, config, work, counted, precision.base, reward)
        parts["kv_cache"] = 2 * model.layers * model.keys * work.drawn * work.length * precision.base
    learning = _activations(model, config, work, counted, precision, parts, reward)
    parts["activations"] = max(learning, loading - sum(parts.values()))
    return Memory(parts, round(HEAP * parts["activations"]) if device == "cpu" else 0)


def start_beside(config: Any, work: Workload, counted: Parameters) -> int:
    """Bytes of what a policy keeps of its start while it learns, a recipe that draws beside others aside."""
    if config.adapter in SELECTIVE:
        return counted.trained_base * SINGLE  # what they were, for the reference
    return counted.base * SINGLE if config.adapter == "full" and work.recipe in BESIDE_THEIR_START else 0


def with_prompts_once(model: Architecture, work: Workload, device: str) -> Workload:
    """On a GPU it may be flash attention, which cannot do that (training/ml/row_attention.py)."""
    once = device == "cpu" and work.recipe in PAIRS and model.family in FAMILIES - MAY_HAVE_WINDOWS
    return replace(work, prompts_once=once)


def weights(model: Architecture, config: Any, counted: Parameters, precision: Precision, work: Workload) -> int:
    """The base in its precision (a reward model's head in fp32), 4 bits where it is packed; what is added in fp32."""
    head = head_of(model, config, work.task)
    base = (counted.base - head) * precision.base + (head + counted.added) * SINGLE
    return base - (saved_by_packing(model, precision.base) if config.adapter == "qlora" else 0)


def _activations(
    model: Architecture,
    config: Any,
    work: Workload,
    counted: Parameters,
    precision: Precision,
    parts: dict[str, int],
    reward: Rewarder | None,
) -> int:
    """The peak over the moments of a run, less all other parts."""
    fixed = sum(parts.values())
    learning = max(_while_learning(model, config, work, precision), 0)
    learning += copies(config, counted, precision)
    apart = parts["gradients"] if _one_backward(config, work) else 0  # they come as activations go
    stepping = _stepping(model, config, counted)
    moments = [fixed - parts["kv_cache"] - apart + learning, fixed - parts["kv_cache"] + stepping]
    if apart and is_checkpointed(config):
        moments.append(fixed - parts["kv_cache"] + _in_the_first_block(model, config, work, precision))
    if work.drawn:
        moments.append(fixed - parts["gradients"] + _while_drawing(model, work, precision))
    if reward is not None:
        moments += _with_reward(model, config, work, precision, parts, reward)
    if config.adapter == "qlora" and precision.base == SINGLE:  # on a CPU: the file, and what is packed of it
        moments.append(counted.base * SINGLE + parts["weights"] - counted.added * SINGLE)
    if work.task == "policy" and work.recipe not in DRAWN:
        moments.append(_evaluating(model, config, work, counted, parts, on_gpu=precision.gpu))
    return max(max(moments) - fixed, 0)


def copies(config: Any, counted: Parameters, precision: Precision) -> int:
    """Bytes of the copies that products keep of weights until their backward pass: a gradient goes through all layers
    unless the last ones alone are trained."""
    return precision.copied * (counted.trained_base if config.adapter == "last_layers" else counted.base)


def _with_reward(
    model: Architecture, config: Any, work: Workload, precision: Precision, parts: dict[str, int], reward: Rewarder
) -> Iterator[int]:
    """Moments of a run that is rewarded: the reward model is loaded, a batch is scored, the value model learns."""
    fixed, itemsize = sum(parts.values()) - parts["kv_cache"], precision.base
    if reward.packed and itemsize == SINGLE:  # beside the policy the file, and what is packed of it
        yield (model.policy + reward.model.body) * SINGLE + reward.weights(SINGLE)
    yield fixed - parts["gradients"] + reward.scoring(config.batch_size, work.length, itemsize)
    if work.recipe == "ppo":
        value = value_model(model, config, work, reward)
        batch = Batch(work.rows, work.length, 0, itemsize, padded=work.rows > 1, gpu=precision.gpu)
        kept = saved_bytes(value.host, still(value.adapter), batch, checkpointing=is_checkpointed(config))
        again = block_bytes(value.host, still(value.adapter), batch) if is_checkpointed(config) else 0
        yield fixed + kept + again + working_bytes(value.host, still(value.adapter), batch)


def still(config: Any) -> Any:
    """Recipes that draw switch every dropout off, that of adapters as well."""
    return replace(config, dropout=0.0)


def _one_backward(config: Any, work: Workload) -> bool:
    return work.recipe not in DRAWN and config.gradient_accumulation == 1


def _while_learning(model: Architecture, config: Any, work: Workload, precision: Precision) -> int:
    """What is kept for the backward pass of a batch, and the deepest moment of that pass beyond it: at the logits, or
    in the last block."""
    batch = _batch(model, config, work, precision)
    config = still(config) if work.recipe in DRAWN else config
    kept = saved_bytes(model, config, batch, checkpointing=is_checkpointed(config)) * separate(config)
    # Where it is repeated, the repeated one alone is kept, but for layers that are computed again and are given it.
    if batch.one_mask and (is_checkpointed(config) or not is_grouped_query(model, config, batch)):
        kept += batch.tokens * batch.length * precision.base
    logits = (work.copies + model.capped) * work.kept * model.vocabulary * SINGLE
    if config.adapter in ("full", "last_layers") and work.kept:
        kept += work.rows * (work.response + 1) * model.width * precision.base
    # A block is computed again when the logits are gone.
    again = block_bytes(model, config, batch) if is_checkpointed(config) else 0
    return kept + max(logits, again + working_bytes(model, config, batch)) + _unpacked(model, config, precision)


def _in_the_first_block(model: Architecture, config: Any, work: Workload, precision: Precision) -> int:
    """With checkpointing the end of the way back is a peak too: all gradients are there but those of the embedding,
    unless the logits have left it theirs, and the first block is whole."""
    batch = _batch(model, config, work, precision)
    shared = model.tied and work.task == "policy"
    still_to_come = model.embeddings * SINGLE if config.adapter == "full" and not shared else 0
    states = batch.tokens * model.width * precision.base
    return states + block_bytes(model, config, batch) + working_bytes(model, config, batch) - still_to_come


def _batch(model: Architecture, config: Any, work: Workload, precision: Precision) -> Batch:
    """Where prompts are computed once, a row holds some pairs and has a mask, as it has where keys and values stand
    before the text."""
    if not work.prompts_once:
        padded = work.rows > 1 or config.adapter in BEFORE_THE_TEXT
        how = {"padded": padded, "own_dropout": work.recipe in OWN_DROPOUT, "gpu": precision.gpu}
        return Batch(work.rows, work.length, work.response, precision.base, **how)
    pairs, each = work.rows // work.together, work.length + (work.together - 1) * work.response
    rows = max(deal([each] * pairs)) + 1
    return Batch(rows, -(-pairs // rows) * each, work.response, precision.base, one_mask=True, gpu=precision.gpu)


def _unpacked(model: Architecture, config: Any, precision: Precision) -> int:
    """Of 4-bit weights the largest matrix, unpacked for its product."""
    if config.adapter != "qlora":
        return 0
    return max(layer.inputs * layer.outputs for layer, _ in model.counted_linears()) * precision.base


def _stepping(model: Architecture, config: Any, counted: Parameters) -> int:
    """Two temporaries of the largest matrix that is trained."""
    largest = model.vocabulary * model.words if config.adapter == "full" else 0
    if not largest and config.adapter in SELECTIVE:
        largest = max(layer.inputs * layer.outputs for layer in model.linears)
    if not largest and config.adapter != HEAD and config.adapter in ("lora", "qlora"):
        largest = max(config.rank * max(layer.inputs, layer.outputs) for layer in targeted(model, config))
    return 2 * SINGLE * min(largest, counted.trainable)


def _while_drawing(model: Architecture, work: Workload, precision: Precision) -> int:
    """Beside the cache: one layer of it while it grows by a token, as a padded batch does, and the logits of the rows,
    sorted."""
    growing = 2 * model.keys * work.drawn * work.length * precision.base
    prompts = work.drawn * (work.length - work.response) * (4 * model.width + 3 * model.inner) * precision.base
    return max(growing + work.drawn * model.vocabulary * DRAWING, prompts)


def _evaluating(
    model: Architecture, config: Any, work: Workload, counted: Parameters, parts: dict[str, int], *, on_gpu: bool
) -> int:
    """After the training: no gradients, no moments, of a model trained whole its start beside it where it was not there
    before, and the logits of both, a piece at a time where the family is known to allow it."""
    whole = EVALUATED * work.response * model.vocabulary
    # On a GPU a whole piece: the long texts of an alignment tax fill it.
    logits = PIECE_COPIES * (LOGITS_AT_ONCE_ON_A_GPU if on_gpu else min(whole, LOGITS_AT_ONCE)) * SINGLE
    logits += WHOLE_COPIES * whole * SINGLE if model.family not in FAMILIES else 0
    start = counted.base * SINGLE if config.adapter == "full" and not parts["reference"] else 0
    return parts["weights"] + parts["reference"] + start + logits
