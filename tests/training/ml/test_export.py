"""What is exported or merged computes the same in the hands of plain transformers, and is whole or not there."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from tests.training.ml.export_jobs import job
from tests.training.ml.trained import TEXTS, Trained, train_briefly
from training.ml import cancel, export, run
from training.ml.artifact import verify_artifact
from training.ml.batching import pad
from training.ml.device import choose_device
from training.ml.errors import ModelError
from training.ml.job import ModelSpec, read_job
from training.ml.load import load_policy, load_reward_model

MERGEABLE = ["lora", "lora-dora", "qlora", "ia3", "last_layers", "bias", "full"]


def exported(trained: Trained, directory: Path, **config: object) -> Path:
    made = job(trained, directory, **config)
    export.run(made)
    return made.cache / "exports" / "garden" / "plain"


def plain_scores(folder: Path) -> torch.Tensor:
    """As somebody without this workbench reads them: template, EOS, padding by the tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    texts = [
        tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False) + text + tokenizer.eos_token
        for messages, text in TEXTS
    ]
    batch = tokenizer(texts, padding=True, add_special_tokens=False, return_tensors="pt")
    with torch.no_grad():
        return model(**batch).logits[:, 0]


def plain_logits(folder: Path, trained: Trained) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    batch = pad(trained.sequences(), 0)
    with torch.no_grad():
        logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    rows = [row[: len(ids) - 1] for row, ids in zip(logits, trained.sequences(), strict=True)]
    return torch.cat(rows)


def base_for(variant: str, request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue("qwen2_model" if variant == "bias" else "fixture_model")


@pytest.mark.parametrize("variant", MERGEABLE)
def test_transformers_alone_computes_the_logits_of_the_artifact(variant, request, tmp_path):
    trained = train_briefly(variant, "policy", base_for(variant, request), tmp_path / "artifact")
    with torch.no_grad():
        wanted = trained.outcome(trained.reloaded())
    found = plain_logits(exported(trained, tmp_path / "job"), trained)
    assert torch.allclose(found, wanted, atol=1e-4)
    with torch.no_grad():
        started = trained.outcome(trained.bare())
    assert not torch.allclose(found, started, atol=1e-2), "the adapter is in the weights"


@pytest.mark.parametrize("variant", MERGEABLE)
def test_transformers_alone_reads_the_scores_of_the_artifact(variant, request, tmp_path):
    trained = train_briefly(variant, "reward", base_for(variant, request), tmp_path / "artifact")
    with torch.no_grad():
        wanted = trained.outcome(trained.reloaded())
    assert torch.allclose(plain_scores(exported(trained, tmp_path / "job")), wanted, atol=1e-4)


def test_a_score_is_read_at_the_eos_also_where_the_base_pads_with_it(fixture_model_pad_is_eos, tmp_path):
    trained = train_briefly("lora", "reward", fixture_model_pad_is_eos, tmp_path / "artifact")
    with torch.no_grad():
        wanted = trained.outcome(trained.reloaded())
        early = trained.outcome_of(trained.reloaded(), trained.sequences(eos=False))
    folder = exported(trained, tmp_path / "job")
    assert torch.allclose(plain_scores(folder), wanted, atol=1e-4)
    assert not torch.allclose(wanted, early, atol=1e-3), "one token early is another score"


def test_the_directory_has_all_that_a_program_needs_and_nothing_of_this_machine(fixture_model, tmp_path):
    trained = train_briefly("lora", "policy", fixture_model, tmp_path / "artifact")
    folder = exported(trained, tmp_path / "job", dtype="bfloat16")
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "README.md"} <= {
        path.name for path in folder.iterdir()
    }
    assert AutoModelForCausalLM.from_pretrained(folder).dtype == torch.bfloat16
    assert AutoTokenizer.from_pretrained(folder).chat_template
    assert (folder / "README.md").read_text() == "# The card\n"
    for path in folder.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes(), path.name
    told = json.loads((tmp_path / "job" / "result.json").read_text())
    assert told["folder"] == str(folder) and told["bytes"] == export.size_of(folder)


def test_an_adapter_is_exported_as_it_is_with_those_before_it(fixture_model, tmp_path):
    first = train_briefly("lora", "policy", fixture_model, tmp_path / "first")
    second = train_briefly("prefix", "policy", fixture_model, tmp_path / "second")
    chain = dataclasses.replace(second, artifact=tmp_path / "second")
    directory = tmp_path / "job"
    job(chain, directory, form="adapter")
    raw = json.loads((directory / "job.json").read_text())
    raw["model"]["adapters"] = [str(first.artifact), str(second.artifact)]
    (directory / "job.json").write_text(json.dumps(raw))
    made = read_job(directory)
    export.run(made)
    folder = made.cache / "exports" / "garden" / "plain"
    for name in ("adapter_config.json", "adapter_model.safetensors", "prompt_encoder.safetensors"):
        assert (folder / name).read_bytes() == (second.artifact / name).read_bytes()
    before = folder / "before-1" / "adapter_model.safetensors"
    assert before.read_bytes() == (first.artifact / "adapter_model.safetensors").read_bytes()
    assert not list(folder.rglob("manifest.json"))


@pytest.mark.parametrize("variant", ["houlsby", "prefix", "prompt_tuning"])
def test_what_cannot_be_merged_is_refused_and_leaves_nothing(variant, fixture_model, tmp_path):
    trained = train_briefly(variant, "policy", fixture_model, tmp_path / "artifact")
    with pytest.raises(ModelError) as caught:
        exported(trained, tmp_path / "job")
    assert caught.value.code == "adapter_not_mergeable"
    assert not list((tmp_path / "cache" / "exports" / "garden").iterdir())


def test_a_directory_that_exists_is_left_as_it_is(fixture_model, tmp_path):
    trained = train_briefly("lora", "policy", fixture_model, tmp_path / "artifact")
    made = job(trained, tmp_path / "job")
    folder = made.cache / "exports" / "garden" / "plain"
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("keep")
    assert run.main([str(made.directory)]) == run.FAILED
    told = json.loads((made.directory / "error.json").read_text())
    assert told["code"] == "export_exists" and str(folder) in told["message"]
    assert [path.name for path in folder.parent.iterdir()] == ["plain"]
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_a_full_disk_leaves_nothing_half_written(fixture_model, tmp_path, monkeypatch):
    trained = train_briefly("lora", "policy", fixture_model, tmp_path / "artifact")
    made = job(trained, tmp_path / "job")

    def fill_the_disk(model, tokenizer, directory: Path) -> None:
        (directory / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "save_weights", fill_the_disk)
    assert run.main([str(made.directory)]) == run.FAILED
    assert json.loads((made.directory / "error.json").read_text())["code"] == "disk_full"
    assert not list((made.cache / "exports" / "garden").iterdir())


def test_a_result_that_a_full_disk_cuts_off_is_none_and_is_written_when_it_is_resumed(
    fixture_model, tmp_path, monkeypatch
):
    """The supervisor takes a result that is there for a whole one."""
    trained = train_briefly("lora", "policy", fixture_model, tmp_path / "artifact")
    made, write = job(trained, tmp_path / "job"), Path.write_text

    def cut_off(path: Path, text: str, *given, **more) -> int:
        if not path.name.startswith("result.json"):
            return write(path, text, *given, **more)
        write(path, text[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", cut_off)
    assert run.main([str(made.directory)]) == run.FAILED
    assert not (made.directory / "result.json").exists()
    monkeypatch.setattr(Path, "write_text", write)
    assert run.main([str(made.directory)]) == run.DONE
    assert json.loads((made.directory / "result.json").read_text())["bytes"] > 0


def test_a_cancelled_export_leaves_nothing_and_a_finished_one_is_not_written_twice(
    fixture_model, tmp_path, monkeypatch
):
    trained = train_briefly("lora", "policy", fixture_model, tmp_path / "artifact")
    made = job(trained, tmp_path / "job")
    monkeypatch.setattr(cancel, "_requested", True)
    with pytest.raises(cancel.Cancelled):
        export.run(made)
    assert not list((made.cache / "exports" / "garden").iterdir())
    monkeypatch.setattr(cancel, "_requested", False)
    export.run(made)
    (made.directory / "result.json").unlink()
    before = (made.cache / "exports" / "garden" / "plain").stat().st_ino
    export.run(made)
    assert (made.cache / "exports" / "garden" / "plain").stat().st_ino == before
    assert (made.directory / "result.json").is_file()


@pytest.mark.parametrize(("variant", "task"), [("lora", "policy"), ("qlora", "reward")])
def test_a_merged_artifact_is_a_full_one_that_computes_the_same(variant, task, fixture_model, tmp_path):
    trained = train_briefly(variant, task, fixture_model, tmp_path / "artifact")
    made = job(trained, tmp_path / "job", recipe="merge")
    assert run.main([str(made.directory)]) == run.DONE
    manifest = verify_artifact(made.directory / "artifact")
    assert (manifest["recipe"], manifest["kind"], manifest["task"]) == ("merge", "full", task)
    weights = json.loads((trained.artifact / "manifest.json").read_text())["weights_sha256"]
    assert manifest["merged"][0]["weights_sha256"] == weights and manifest["packages"]["peft"]
    load = load_reward_model if task == "reward" else load_policy
    spec = ModelSpec(str(made.directory / "artifact"))
    with torch.no_grad():
        found = trained.outcome(load(spec, cache=made.cache, device=choose_device()))
        assert torch.allclose(found, trained.outcome(trained.reloaded()), atol=1e-4)
