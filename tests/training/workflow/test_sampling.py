"""From lines in samples.jsonl to responses and comparisons, once each."""

import json

import pytest

from annotate.models import Comparison, Project, Prompt, Response
from training.models import Artifact, Run, Sample
from training.workflow import artifacts, sampling
from training.workflow.exceptions import NoPrompts
from training.workflow.tails import Tail


def line(prompt: Prompt, model: str, index: int, text: str) -> dict:
    return {"prompt": prompt.pk, "model": model, "index": index, "text": text, "tokens": 3, "finished": True, "seed": 1}


def append(run: Run, *lines: dict, end: str = "\n") -> None:
    path = sampling.samples_of(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write("\n".join(json.dumps(line) for line in lines) + end)


@pytest.fixture
def old(project: Project, policy: Artifact) -> Artifact:
    return artifacts.register_base(project, "older", policy.location)


def test_fresh_prompts_come_first_then_those_compared_least(
    project: Project, comparisons: list, prompts: list[Prompt]
) -> None:
    chosen = sampling.choose_prompts(project, 6)
    assert chosen[:4] == prompts
    assert len(chosen) == 6
    assert len(sampling.choose_prompts(project)) == 9


def test_a_project_without_prompts_is_told_so(project: Project) -> None:
    with pytest.raises(NoPrompts, match="no prompts"):
        sampling.choose_prompts(project)


def test_the_first_pair_is_there_before_the_run_ends(policy: Artifact, project: Project, prompts: list[Prompt]) -> None:
    run = sampling.start_sampling(project, policy, {}, prompts)
    append(run, line(prompts[0], "new", 0, "one"), line(prompts[0], "new", 1, "two"))
    assert sampling.ingest_samples(run) == 1
    comparison = Comparison.objects.get()
    assert (comparison.batch, comparison.prompt) == (run.batch, prompts[0])


def test_reading_the_file_twice_adds_nothing(policy: Artifact, project: Project, prompts: list[Prompt]) -> None:
    run = sampling.start_sampling(project, policy, {"samples_per_prompt": 3}, prompts)
    append(run, *[line(prompt, "new", index, f"text {index}") for prompt in prompts for index in range(3)])
    for _ in range(2):
        sampling.ingest_samples(run)
        sampling.summarize(run)
        assert Comparison.objects.count() == 4 * 3
        assert Response.objects.count() == Sample.objects.count() == 12
        assert {k: run.result[k] for k in ("samples", "comparisons", "identical")} == {
            "samples": 12, "comparisons": 12, "identical": 0
        }  # fmt: skip


def test_a_line_still_being_written_waits(policy: Artifact, project: Project, prompts: list[Prompt]) -> None:
    run = sampling.start_sampling(project, policy, {}, prompts)
    tail = Tail(sampling.samples_of(run))
    append(run, line(prompts[0], "new", 0, "one"))
    append(run, line(prompts[0], "new", 1, "two"), end="")
    assert sampling.ingest_samples(run, tail) == 0
    append(run, end="\n")
    assert sampling.ingest_samples(run, tail) == 1


def test_a_file_that_was_rewritten_is_read_anew(policy: Artifact, project: Project, prompts: list[Prompt]) -> None:
    run = sampling.start_sampling(project, policy, {}, prompts)
    tail = Tail(sampling.samples_of(run))
    append(run, line(prompts[0], "new", 0, "one"), line(prompts[0], "new", 1, "two"), line(prompts[1], "new", 0, "x"))
    sampling.ingest_samples(run, tail)
    path = sampling.samples_of(run)
    kept = path.read_text().splitlines(keepends=True)[:2]
    path.with_suffix(".tmp").write_text("".join(kept))
    path.with_suffix(".tmp").replace(path)
    append(run, line(prompts[2], "new", 0, "somewhat longer than before"), line(prompts[2], "new", 1, "four"))
    sampling.ingest_samples(run, tail)
    assert Comparison.objects.count() == 2


def test_a_text_with_a_nul_is_stored_on_every_database(
    policy: Artifact, project: Project, prompts: list[Prompt]
) -> None:
    run = sampling.start_sampling(project, policy, {}, prompts)
    append(run, line(prompts[0], "new", 0, "a\0b"), line(prompts[0], "new", 1, "two"))
    assert sampling.ingest_samples(run) == 1
    assert Response.objects.get(key__endswith=":0").text == "a\ufffdb"


def test_identical_texts_are_not_asked_about_and_counted(
    policy: Artifact, project: Project, prompts: list[Prompt]
) -> None:
    run = sampling.start_sampling(project, policy, {}, prompts)
    append(run, line(prompts[0], "new", 0, "same"), line(prompts[0], "new", 1, "same"))
    assert sampling.ingest_samples(run) == 0
    sampling.summarize(run)
    assert (run.result["comparisons"], run.result["identical"]) == (0, 1)


def test_a_prompt_deleted_meanwhile_is_counted(policy: Artifact, project: Project, prompts: list[Prompt]) -> None:
    run = sampling.start_sampling(project, policy, {}, prompts)
    append(run, line(prompts[0], "new", 0, "one"), line(prompts[0], "new", 1, "two"))
    prompts[0].delete()
    assert sampling.ingest_samples(run) == 0
    sampling.summarize(run)
    assert run.result["unknown_prompts"] == 1


def test_new_is_compared_with_old_of_the_same_index(
    policy: Artifact, old: Artifact, project: Project, prompts: list[Prompt]
) -> None:
    run = sampling.start_sampling(project, policy, {}, prompts, reference=old)
    append(run, *[line(prompts[0], "new", index, f"new {index}") for index in range(2)])
    assert sampling.ingest_samples(run) == 0
    append(run, *[line(prompts[0], "old", index, f"old {index}") for index in range(2)])
    sampling.ingest_samples(run)
    pairs = {frozenset((c.response_a.text, c.response_b.text)) for c in Comparison.objects.all()}
    assert pairs == {frozenset(("new 0", "old 0")), frozenset(("new 1", "old 1"))}
    assert Sample.objects.get(response__text="old 1").artifact == old
    assert Sample.objects.get(response__text="new 1").artifact == policy


def test_the_letter_does_not_tell_new_from_old(policy: Artifact, old: Artifact, project: Project) -> None:
    prompts = Prompt.objects.bulk_create(
        Prompt(project=project, key=str(i), messages=[{"role": "user", "content": str(i)}], content_hash=str(i))
        for i in range(200)
    )
    run = sampling.start_sampling(project, policy, {"samples_per_prompt": 1}, prompts, reference=old)
    append(run, *[line(prompt, model, 0, model) for prompt in prompts for model in ("new", "old")])
    sampling.ingest_samples(run)
    new_is_a = Comparison.objects.filter(response_a__text="new").count()
    # 200 fair draws lie outside of this with a probability of 1e-5; the seed makes it the same every time.
    assert 68 < new_is_a < 132


def test_names_of_batches_do_not_name_the_model(policy: Artifact, project: Project, prompts: list[Prompt]) -> None:
    run = sampling.start_sampling(project, policy, {}, prompts)
    assert policy.name not in run.batch.name
