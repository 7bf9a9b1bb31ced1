"""Completions drawn in slots that are handed on are those drawn alone, in every family, and as `generate` decodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.training.ml.families import build_family
from tests.training.ml.trained import configured, untrained
from training.ml import decoding, waiting
from training.ml import slots as slots_module
from training.ml.decoding import Completion, Drawing, complete
from training.ml.slots import Kept, Slots, beginning, read_prompts
from training.recipes.shared_rows import FAMILIES

pytestmark = pytest.mark.not_db
PROMPTS = [[3, 4, 5], [3, 4, 6, 7, 8, 9, 10], [11], [3, 4, 5, 12], [13, 14, 15, 16, 17], [3, 4]]
SYSTEM = [30, 31, 32, 33, 34]


def by_row(found: Iterator[Completion]) -> dict[int, list[int]]:
    return {one.row: one.ids for one in found}


def in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "can_read_rows", lambda _model: False)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_greedy_decoding_is_that_of_generate(family: str) -> None:
    model = build_family(family)
    settings = {"stop": frozenset(), "pad_id": 0, "drawing": Drawing(0, 1, 9)}
    found = by_row(complete(model, PROMPTS, [[0]] * len(PROMPTS), rows=2, **settings))
    for row, prompt in enumerate(PROMPTS):
        expected = model.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), do_sample=False, max_new_tokens=9,
            min_new_tokens=9, eos_token_id=None,
        )  # fmt: skip
        assert found[row] == expected[0, len(prompt) :].tolist()


@pytest.mark.parametrize("base", ["fixture_model", "qwen2_model", "gpt2_model"])
def test_a_draw_depends_neither_on_the_slots_nor_on_who_else_is_there(
    base: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In double precision: a product of other rows may differ in its last bit, and once in thousands of tokens that is
    # on the other side of what was drawn.
    model = AutoModelForCausalLM.from_pretrained(request.getfixturevalue(base)).double().eval()
    seeds = [[2 * n, 2 * n + 1] for n in range(len(PROMPTS))]
    # A tenth of the vocabulary ends a row, so that rows end, and others enter, all along.
    settings = {"stop": frozenset(range(0, 700, 10)), "pad_id": 0, "drawing": Drawing(1.0, 0.95, 30)}
    whole = by_row(complete(model, PROMPTS, seeds, **settings))
    assert len({len(ids) for ids in whole.values()}) > 3
    for rows in (1, 3, 4, 7):
        assert by_row(complete(model, PROMPTS, seeds, rows=rows, **settings)) == whole
    in_batches(monkeypatch)
    for rows in (2, 5, None):
        assert by_row(complete(model, PROMPTS, seeds, rows=rows, **settings)) == whole


def test_no_more_rows_are_drawn_than_asked_for_and_freed_ones_are_taken(
    fixture_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = AutoModelForCausalLM.from_pretrained(fixture_model).eval()
    busy: list[int] = []
    step = Slots.step
    monkeypatch.setattr(Slots, "step", lambda slots, *given: busy.append(slots.busy) or step(slots, *given))
    settings = {"stop": frozenset(range(0, 700, 7)), "pad_id": 0, "drawing": Drawing(1.0, 1.0, 20)}
    drawn = list(complete(model, PROMPTS * 4, [[n] for n in range(24)], rows=4, **settings))
    assert sorted(one.row for one in drawn) == list(range(24))
    assert max(busy) == 4
    lengths = [len(one.ids) for one in sorted(drawn, key=lambda one: one.row)]
    assert max(one.drawn for one in drawn) == sum(lengths)
    waiting_for_the_longest = sum(max(lengths[start : start + 4]) for start in range(0, 24, 4))
    assert len(busy) < 0.8 * waiting_for_the_longest


def test_room_for_the_longest_text_is_taken_once_and_handed_on() -> None:
    model = build_family("llama")
    slots = Slots(6, most=17)
    with torch.inference_mode():
        kept = read_prompts(model, PROMPTS)[1]  # of 3, 7, 1, 4, 5 and 2 tokens
        slots.put(kept[:1])
        [taken] = {layer[0].data_ptr() for layer in slots._layers[:1]}
        slots.put(kept[2:4])
        assert slots.drop(0) == 2
        slots.put(kept[1:2])
    assert slots._layers[0][0].data_ptr() == taken and slots._layers[0][0].shape[2] == 17
    assert slots.lengths[: slots.busy].tolist() == [4, 1, 7]
    for slot, one in enumerate([kept[3], kept[2], kept[1]]):
        for layer, parts in zip(slots._layers, one, strict=True):
            for memory, part in zip(layer, parts, strict=True):
                assert torch.equal(memory[slot, :, : part.shape[1]], part)


@pytest.mark.parametrize("most", [17, 40])
def test_lines_that_a_gpu_reads_at_once_change_no_logits(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """There a step shows up to 15 places more than are written, hidden, as far as there is room."""
    model = build_family("llama")
    found, shown = [], []
    update = Slots.update

    def noting(self: Slots, *args: Any) -> tuple[torch.Tensor, torch.Tensor]:
        shown.append(self.longest)
        return update(self, *args)

    monkeypatch.setattr(Slots, "update", noting)
    for line in (1, 16):
        monkeypatch.setattr(slots_module, "LINE", line)
        monkeypatch.setattr(slots_module, "in_lines", lambda _device: True)
        slots = Slots(6, most=most)
        with torch.inference_mode():
            slots.put(read_prompts(model, PROMPTS)[1])
            steps = []
            for token in (20, 21, 22):
                steps.append(slots.step(model, torch.arange(token, token + slots.busy)))
                slots.drop(0)
        found.append(steps)
    for mine, theirs in zip(*found, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)
    assert shown[0] == 8 and shown[-1] in (most, 16) and max(shown) <= most


def test_a_prompt_is_read_once_for_all_its_responses(fixture_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = AutoModelForCausalLM.from_pretrained(fixture_model).eval()
    read: list[list[int]] = []
    monkeypatch.setattr(waiting, "read_prompts", lambda *given: read.extend(given[1]) or read_prompts(*given))
    settings = {"stop": frozenset(), "pad_id": 0, "drawing": Drawing(1.0, 1.0, 5)}
    list(complete(model, PROMPTS, [[n, n + 1, n + 2] for n in range(6)], rows=4, **settings))
    assert read == PROMPTS


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_what_prompts_begin_with_alike_need_not_be_read_again(family: str) -> None:
    model = build_family(family)
    prompts = [SYSTEM + prompt for prompt in PROMPTS]
    with torch.inference_mode():
        logits, kept = read_prompts(model, prompts)
        found, again = read_prompts(model, prompts, beginning(kept[3], len(SYSTEM)))
    assert torch.allclose(found, logits, rtol=1e-4, atol=1e-5)
    for one, other in zip(flat(again), flat(kept), strict=True):
        assert one.shape == other.shape and torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def flat(kept: list[Kept]) -> list[torch.Tensor]:
    return [part for text in kept for layer in text for part in layer]


def test_what_all_prompts_begin_with_is_read_with_the_first_ones(fixture_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(fixture_model).double().eval()
    prompts, read = [SYSTEM + prompt for prompt in PROMPTS], []
    settings = {"stop": frozenset(range(0, 700, 10)), "pad_id": 0, "drawing": Drawing(1.0, 0.95, 30)}
    whole = by_row(complete(model, prompts, [[n] for n in range(6)], **settings))
    watching = model.model.embed_tokens.register_forward_hook(lambda _part, given, _found: read.append(given[0]))
    assert by_row(complete(model, prompts, [[n] for n in range(6)], rows=2, **settings)) == whole
    watching.remove()
    rows = [row for ids in read if ids.dim() == 2 for row in ids.tolist()]
    assert sum(row[: len(SYSTEM)] == SYSTEM for row in rows) == 1
    assert not any(token in SYSTEM for row in rows[2:] for token in row)


@pytest.mark.parametrize(
    ("prompts", "tokens"),
    [
        ([[1, 2, 3], [1, 2, 4]], 2),
        ([[1, 2, 3], [1, 2]], 1),  # after its last token something is drawn
        ([[1, 2, 3], [1, 2, 3]], 2),
        ([[1, 2], [3, 2], [1, 2]], 0),
        ([[7]], 0),
        ([[1, 2, 3], [1, 2, 3, 4], [1, 5, 3]], 1),
    ],
)
def test_how_much_prompts_have_in_common(prompts: list[list[int]], tokens: int) -> None:
    assert waiting.common_to(prompts) == tokens


def test_an_adapter_with_virtual_tokens_is_drawn_from_in_batches(fixture_model: Path) -> None:
    model = untrained(configured("p_tuning_v2"), "policy", fixture_model)
    settings = {"stop": frozenset(), "pad_id": 0, "drawing": Drawing(0, 1, 6)}
    apart = [by_row(complete(model, [prompt], [[0]], **settings))[0] for prompt in PROMPTS]
    found = list(complete(model, PROMPTS, [[0]] * 6, rows=4, **settings))
    assert by_row(iter(found)) == dict(enumerate(apart))
    assert max(one.drawn for one in found) == 36
