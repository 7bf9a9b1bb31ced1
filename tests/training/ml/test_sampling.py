"""Samples are drawn from the right distribution, each from its own seed, and a resumed run draws what is missing."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.training.fixture_model import build_fixture_model
from training.ml import cancel, decoding, sampling
from training.ml.chat import prompt_ids
from training.ml.decoding import Drawing, complete, draw
from training.ml.errors import ModelError
from training.ml.job import Job, ModelSpec
from training.ml.progress import read_lines
from training.ml.prompts import read_prompts
from training.ml.samples import sample_seed
from training.recipes.sample import SampleConfig

PROMPTS = [
    "Hi",
    "How do I bake bread?",
    "请用简单的话解释什么是重力。",
    "Plan a day in the mountains. " * 3,
    "List.",
    "Why?",
]


def make_job(directory: Path, model: Path, *, old: Path | None = None, prompts=PROMPTS, seed: int = 0, **config) -> Job:
    directory.mkdir(exist_ok=True)
    rows = [{"id": 100 + n, "messages": [{"role": "user", "content": text}]} for n, text in enumerate(prompts)]
    path = directory / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = SampleConfig(**{"max_new_tokens": 12, "batch_size": 4, "temperature": 1.0, "top_p": 1.0, **config})
    reference = ModelSpec(str(old)) if old else None
    return Job(
        directory, 1, "sample", seed, settings, ModelSpec(str(model)), reference, None, None, path, directory, {}
    )


def samples_of(directory: Path) -> dict[tuple, str]:
    rows = list(read_lines(directory / "samples.jsonl"))
    found = {(row["prompt"], row["model"], row["index"]): row["text"] for row in rows}
    assert len(found) == len(rows), "a sample is there twice"
    return found


def test_every_prompt_gets_its_samples_from_both_models(fixture_model, tmp_path):
    other = build_fixture_model(tmp_path / "other", seed=5)
    sampling.run(make_job(tmp_path / "job", fixture_model, old=other))
    found = samples_of(tmp_path / "job")
    assert set(found) == {(100 + n, name, i) for n in range(len(PROMPTS)) for name in ("new", "old") for i in (0, 1)}
    assert len(set(found.values())) > len(found) // 2
    result = json.loads((tmp_path / "job" / "result.json").read_text())
    assert (result["format"], result["samples"], result["skipped"]) == (1, 24, [])


def test_the_two_models_answers_to_a_prompt_come_close_together(fixture_model, tmp_path):
    sampling.run(make_job(tmp_path / "job", fixture_model, old=fixture_model, prompts=PROMPTS * 3))
    order = [(row["prompt"], row["model"]) for row in read_lines(tmp_path / "job" / "samples.jsonl")]
    # Batches hold 4 prompts, so the first 8 groups of two samples are the same 4 prompts by both models.
    first = order[:16]
    assert len({prompt for prompt, _ in first}) == 4
    assert {name for _, name in first} == {"new", "old"}


def test_the_shortest_prompts_come_first(fixture_model, tmp_path):
    sampling.run(make_job(tmp_path / "job", fixture_model, batch_size=4, prompts=PROMPTS[::-1]))
    order = [row["prompt"] for row in read_lines(tmp_path / "job" / "samples.jsonl")]
    tokenizer = AutoTokenizer.from_pretrained(fixture_model)
    lengths = {
        100 + n: len(prompt_ids(tokenizer, [{"role": "user", "content": text}])) for n, text in enumerate(PROMPTS[::-1])
    }
    assert set(order[:8]) == set(sorted(lengths, key=lengths.get)[:4])


def test_the_same_seed_gives_the_same_samples_in_any_batch_size_and_company(fixture_model, tmp_path):
    sampling.run(make_job(tmp_path / "a", fixture_model, batch_size=6))
    sampling.run(make_job(tmp_path / "b", fixture_model, batch_size=1, prompts=PROMPTS[:3]))
    sampling.run(make_job(tmp_path / "c", fixture_model, seed=1))
    one, part, other = (samples_of(tmp_path / name) for name in "abc")
    assert part == {key: one[key] for key in part}
    assert sum(other[key] == one[key] for key in one) < len(one) // 2


def test_temperature_0_is_what_generate_decodes_greedily(fixture_model, fixture_model_pad_is_eos, tmp_path):
    for path in (fixture_model, fixture_model_pad_is_eos):
        model, tokenizer = AutoModelForCausalLM.from_pretrained(path).eval(), AutoTokenizer.from_pretrained(path)
        ids = [prompt_ids(tokenizer, [{"role": "user", "content": text}]) for text in PROMPTS]
        found = complete(
            model, ids, [[0]] * len(ids), stop=frozenset(), pad_id=tokenizer.pad_token_id, drawing=Drawing(0, 1, 10)
        )
        by_row = {completion.row: completion.ids for completion in found}
        for row, prompt in enumerate(ids):
            with torch.no_grad():
                expected = model.generate(
                    torch.tensor([prompt]), do_sample=False, max_new_tokens=10, min_new_tokens=10, eos_token_id=None
                )
            assert by_row[row] == expected[0, len(prompt) :].tolist()


def test_rows_that_end_leave_the_others_as_they_were(fixture_model):
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(fixture_model).eval(),
        AutoTokenizer.from_pretrained(fixture_model),
    )
    ids = [prompt_ids(tokenizer, [{"role": "user", "content": text}]) for text in PROMPTS]
    seeds = [[2 * n, 2 * n + 1] for n in range(len(ids))]
    # A tenth of the vocabulary ends a row, so that rows end all along.
    settings = {
        "stop": frozenset(range(0, 767, 10)),
        "pad_id": tokenizer.pad_token_id,
        "drawing": Drawing(1.0, 1.0, 40),
    }
    together = {c.row: c for c in complete(model, ids, seeds, **settings)}
    assert len({len(c.ids) for c in together.values()}) > 3
    for row, completion in together.items():
        [alone] = complete(model, [ids[row // 2]], [[row]], **settings)
        assert (alone.ids, alone.finished) == (completion.ids, completion.finished)
        assert completion.finished == (completion.ids[-1] in settings["stop"])
    assert max(c.drawn for c in together.values()) == sum(len(c.ids) for c in together.values())


@pytest.mark.parametrize("vocabulary", [6, 2000])
def test_draws_follow_the_nucleus_of_the_tempered_distribution(vocabulary):
    logits = torch.zeros(vocabulary)
    logits[:6] = torch.tensor([2.0, 1.0, 3.0, 0.0, -1.0, 2.5]) + 8
    probabilities = torch.softmax(logits / 0.7, -1)
    order = probabilities.argsort(descending=True)
    before = probabilities[order].cumsum(0) - probabilities[order]
    kept = torch.zeros(vocabulary)
    kept[order[before < 0.9]] = probabilities[order[before < 0.9]]
    n = 20_000
    generators = [torch.Generator().manual_seed(seed) for seed in range(n)]
    drawn = torch.cat(
        [
            draw(logits.expand(500, -1), generators[start : start + 500], Drawing(0.7, 0.9, 1))
            for start in range(0, n, 500)
        ]
    )
    frequencies = torch.bincount(drawn, minlength=vocabulary) / n
    assert (frequencies[kept == 0] == 0).all()
    # Five standard errors of a frequency of one half.
    assert torch.allclose(frequencies, kept / kept.sum(), atol=5 * 0.5 / n**0.5)


def test_a_flat_distribution_is_drawn_from_in_full():
    generators = [torch.Generator().manual_seed(seed) for seed in range(3000)]
    drawn = draw(torch.zeros(3000, 1500), generators, Drawing(1.0, 1.0, 1))
    assert drawn.unique().numel() > 1000


def test_all_tokens_are_drawn_by_their_probability_and_what_has_none_never_is():
    logits = torch.tensor([1.0, -torch.inf, 2.0, 0.0, -torch.inf])
    generators = [torch.Generator().manual_seed(seed) for seed in range(20_000)]
    drawn = draw(logits.expand(20_000, -1), generators, Drawing(1.0, 1.0, 1))
    frequencies = torch.bincount(drawn, minlength=5) / 20_000
    assert torch.allclose(frequencies, torch.softmax(logits, -1), atol=5 * 0.5 / 20_000**0.5)
    assert (frequencies[[1, 4]] == 0).all()


@pytest.mark.parametrize("top_p", [0.95, 1.0])
def test_what_a_row_draws_does_not_depend_on_how_flat_its_neighbours_are(top_p):
    torch.manual_seed(0)
    flat, peaked = torch.zeros(2000), torch.randn(2000) * 6
    logits = torch.stack([peaked, flat, peaked, flat * 2, peaked.flip(0)])
    for seed in range(40):
        seeds = [seed * 5 + row for row in range(5)]
        together = draw(logits, [torch.Generator().manual_seed(one) for one in seeds], Drawing(1.0, top_p, 1))
        for row, one in enumerate(seeds):
            alone = draw(logits[row : row + 1], [torch.Generator().manual_seed(one)], Drawing(1.0, top_p, 1))
            assert alone.item() == together[row].item()


@pytest.mark.parametrize(
    ("scale", "top_p"), [(1.0, 0.5), (1.0, 0.95), (2.0, 0.95), (3.0, 0.95), (1.0, 0.9999999), (3.0, 0.9999999)]
)
def test_a_nucleus_that_is_wider_than_what_is_sorted_gives_the_tokens_it_would_give_sorted(scale, top_p, monkeypatch):
    torch.manual_seed(0)
    logits = torch.randn(400, 5003) * scale
    seeds = range(len(logits))
    monkeypatch.setattr(decoding, "HEAD", 5003)
    sorted_all = draw(logits, [torch.Generator().manual_seed(seed) for seed in seeds], Drawing(1.0, top_p, 1))
    monkeypatch.setattr(decoding, "HEAD", 256)
    sizes, from_nucleus = [], decoding._from_nucleus
    monkeypatch.setattr(
        decoding, "_from_nucleus", lambda head, *more: sizes.append(head.shape) or from_nucleus(head, *more)
    )
    drawn = draw(logits, [torch.Generator().manual_seed(seed) for seed in seeds], Drawing(1.0, top_p, 1))
    assert torch.equal(drawn, sorted_all)
    head = logits.softmax(-1).topk(256).values
    weight, last = head.sum(-1), head[:, -1]
    wide = weight < top_p
    assert wide.any()
    # Not known is what lies beyond, and what one token more or less in the nucleus would move across one of 256 bounds.
    unknown = (1 - weight / top_p + 256 * last / top_p).clamp(max=1)[wide].sum()
    assert sum(number for number, width in sizes if width == 5003) <= 1.2 * float(unknown) + 10


@pytest.mark.parametrize("vocabulary", [90, 4096, 5003, 8192])
@pytest.mark.parametrize("kinds", [3, 60, None])
def test_the_likeliest_tokens_are_those_of_all_sorted(vocabulary, kinds):
    """Also where many are as likely as each other."""
    generator = torch.Generator().manual_seed(vocabulary)
    found = torch.rand(7, vocabulary, generator=generator)
    found = found if kinds is None else (found * kinds).floor() / kinds
    found[0, :40] = 2 + found[0, :40]  # side by side, and of one row one below the other
    found[1, :: vocabulary // decoding.BLOCKS] += 2
    number = min(60, vocabulary)
    values, places = decoding.likeliest(found, number)
    assert torch.equal(values, found.sort(dim=-1, descending=True).values[:, :number])
    assert torch.equal(found.gather(1, places), values)
    assert all(len(set(row)) == number for row in places.tolist())


def test_a_response_has_no_special_tokens_and_knows_whether_it_ended(fixture_model, tmp_path):
    """Of 24 drawn from this model some end within a hundred tokens by chance, most do not."""
    sampling.run(make_job(tmp_path / "job", fixture_model, max_new_tokens=100, samples_per_prompt=4))
    rows = list(read_lines(tmp_path / "job" / "samples.jsonl"))
    assert not any("<|" in row["text"] for row in rows)
    assert {row["finished"] for row in rows} == {True, False}
    assert {row["tokens"] for row in rows if not row["finished"]} == {100}
    assert min(row["tokens"] for row in rows if row["finished"]) < 100


def test_a_cancelled_run_resumes_and_ends_like_an_uninterrupted_one(fixture_model, tmp_path, monkeypatch):
    sampling.run(make_job(tmp_path / "whole", fixture_model, old=fixture_model, prompts=PROMPTS * 2))
    job = make_job(tmp_path / "job", fixture_model, old=fixture_model, prompts=PROMPTS * 2)
    checks = iter(range(10**6))

    def check():
        if next(checks) == 30:
            raise cancel.Cancelled

    with monkeypatch.context() as patch:
        patch.setattr(cancel, "check", check)
        with pytest.raises(cancel.Cancelled):
            sampling.run(job)
    early = samples_of(job.directory)
    assert 0 < len(early) < 48
    assert not (job.directory / "result.json").exists()
    # A kill may also have torn a group apart.
    with (job.directory / "samples.jsonl").open("a") as file:
        file.write(json.dumps({"prompt": 111, "model": "old", "index": 0, "text": "half", "tokens": 1}) + "\n{")
    sampling.run(job)
    assert samples_of(job.directory) == samples_of(tmp_path / "whole")
    assert json.loads((job.directory / "result.json").read_text())["samples"] == 48


def test_progress_counts_up_to_the_end_with_speed_and_time_left(fixture_model, tmp_path):
    sampling.run(make_job(tmp_path / "job", fixture_model))
    lines = list(read_lines(tmp_path / "job" / "progress.jsonl"))
    assert [line["stage"] for line in lines if line["kind"] == "status"] == ["loading", "sampling"]
    steps = [line for line in lines if line["kind"] == "step"]
    assert [line["step"] for line in steps] == list(range(1, len(PROMPTS) + 1))
    assert all(line["steps"] == len(PROMPTS) and line["tokens_per_second"] > 0 for line in steps)
    assert steps[-1]["eta_seconds"] == 0


def test_a_prompt_that_does_not_fit_is_skipped_and_counted(fixture_model, tmp_path):
    sampling.run(make_job(tmp_path / "job", fixture_model, prompts=["Hi", "word " * 1200]))
    result = json.loads((tmp_path / "job" / "result.json").read_text())
    assert result["samples"] == 2
    assert [entry["id"] for entry in result["skipped"]] == [101]
    assert "1024" in result["skipped"][0]["why"]


def test_prompts_none_of_which_fits_are_an_error(fixture_model, tmp_path):
    with pytest.raises(ModelError) as caught:
        sampling.run(make_job(tmp_path / "job", fixture_model, max_new_tokens=1024))
    assert caught.value.code == "prompt_too_long"


@pytest.mark.parametrize(
    ("content", "code", "word"),
    [
        ("", "empty_data", "no prompts"),
        ('{"id": 1, "messages": [{"role": "user", "content": "x"}]}\n{"id": 2}\n', "bad_prompts", "Line 2"),
        ('{"id": 1, "messages": []}\n', "bad_prompts", "Line 1"),
        ("nonsense\n", "bad_prompts", "Line 1"),
        ('{"id": 1, "messages": [{"role": "user", "content": "x"}]}\n' * 2, "bad_prompts", "repeats"),
    ],
)
def test_prompts_that_cannot_be_read_name_the_line(fixture_model, tmp_path, content, code, word):
    job = make_job(tmp_path / "job", fixture_model)
    job.prompts.write_text(content)
    with pytest.raises(ModelError, match=word) as caught:
        sampling.run(job)
    assert caught.value.code == code


def test_a_prompt_may_hold_any_character(fixture_model, tmp_path):
    job = make_job(tmp_path / "job", fixture_model)
    row = {"id": 1, "messages": [{"role": "user", "content": "one\u2028two\x85three"}]}
    job.prompts.write_text(json.dumps(row, ensure_ascii=False) + "\n")
    assert [prompt.messages for prompt in read_prompts(job.prompts)] == [row["messages"]]


def test_a_seed_is_its_own_for_prompt_model_and_index():
    seeds = {sample_seed(s, p, m, i) for s in (0, 1) for p in (1, 11, "1") for m in ("new", "old") for i in (0, 1, 11)}
    # The prompt 1 and the prompt "1" are the same name in JSON keys, and may share.
    assert len(seeds) == 2 * 2 * 2 * 3
    assert max(seeds) < 2**48
