"""A bench: which runs it makes, what is refused with its reason, how it goes on, and what its table says."""

import json
from pathlib import Path
from typing import Any

import pytest

from annotate.models import Project, Snapshot, User
from tests.training.views.conftest import snapshot  # noqa: F401
from tests.training.workflow.products import end, write_product
from training.models import Artifact, Bench, Run, RunState
from training.recipes import load
from training.recipes.adapters import HIGHEST_RATE
from training.recipes.titles import ADAPTERS
from training.workflow import artifacts, jobs, runs
from training.workflow.bench_table import COLUMNS, cells_of, rows_of, told_of
from training.workflow.benches import cancel_bench, refusal_of, resume_bench, start_bench, state_of
from training.workflow.exceptions import BadConfig, BadInput, RunNotResumable, TooFewLabels
from training.workflow.folders import artifact_folder
from training.workflow.manifests import verified_manifest

pytestmark = pytest.mark.django_db
LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 800, "hidden_size": 64,
    "intermediate_size": 128, "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 1024, "tie_word_embeddings": True,
}  # fmt: skip


@pytest.fixture
def base(project: Project) -> Artifact:
    return Artifact.objects.create(project=project, name="base", location="owner/base")


@pytest.fixture
def llama(project: Project, tmp_path: Path) -> Artifact:
    """As far as its config.json."""
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    return Artifact.objects.create(project=project, name="llama", location=str(tmp_path))


@pytest.fixture
def bench(project: Project, snapshot: Snapshot, base: Artifact, lead: User) -> Bench:  # noqa: F811
    return start_bench(project, "reward", snapshot, base, {"epochs": 2}, actor=lead)


def run_of(bench: Bench, method: str) -> Run:
    return next(run for run in bench.runs.all() if run.config["adapter"] == method)


def share(value: float, half: float = 0.1, n: int = 40) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "n": n}


def finish(run: Run, accuracy: dict[str, Any], **more: Any) -> Run:
    """Its process has ended well, and it was timed."""
    end(run)
    ratio = share(1.2, n=20)
    why = {"value": None, "low": None, "high": None, "n": 0, "reason": "It cannot be merged."}
    why["words"] = {"template": why["reason"], "values": {"n": 0}}
    facts = {
        "metrics": {"accuracy": accuracy, "calibration": {"ece": share(0.2)}},
        "parameters": {"total": 2000, "trainable": 100},
        "weights_bytes": 5000,
        "seconds": 12.5,
        "peak": {"memory_bytes": 10**9},
        "latency": {"base": share(0.01), "unmerged": {**share(0.012), "ratio": ratio}, "merged": why},
    }
    write_product(artifact_folder(run), "reward", run.config, **{**facts, **more})
    artifacts.import_product(run, verified_manifest(artifact_folder(run)))
    return Run.objects.select_related("artifact").get(pk=run.pk)


def runs_of(bench: Bench) -> list[Run]:
    return list(bench.runs.select_related("artifact").order_by("pk"))


def test_every_method_of_the_recipe_is_a_run_on_the_same_data(bench: Bench, snapshot: Snapshot) -> None:  # noqa: F811
    found = runs_of(bench)
    assert {run.config["adapter"] for run in found} == set(ADAPTERS) and len(found) == len(ADAPTERS)
    assert {(run.snapshot_id, run.model_id, run.seed, run.state) for run in found} == {
        (snapshot.pk, bench.model_id, 0, "queued")
    }
    assert {run.config["epochs"] for run in found} == {2} and bench.number == 1
    assert json.loads((jobs.prepare(found[0]) / "job.json").read_text())["latency"] is True


def test_a_method_is_trained_at_its_customary_rate_unless_another_is_given(
    project: Project,
    snapshot: Snapshot,  # noqa: F811
    base: Artifact,
) -> None:
    own = {"ia3": {"learning_rate": 0.004}, "lora": {"rank": 4}}
    bench = start_bench(project, "reward", snapshot, base, {"learning_rate": 0.001}, overrides=own)
    rates = {run.config["adapter"]: run.config["learning_rate"] for run in runs_of(bench)}
    assert (rates["lora"], rates["full"], rates["ia3"]) == (0.001, pytest.approx(0.0001), 0.004)
    assert rates["prompt_tuning"] == pytest.approx(0.05) and max(rates.values()) <= HIGHEST_RATE
    assert run_of(bench, "lora").config["rank"] == 4 and run_of(bench, "qlora").config["rank"] == 16


def test_without_any_rate_a_bench_trains_as_single_runs_do(
    project: Project,
    snapshot: Snapshot,  # noqa: F811
    base: Artifact,
) -> None:
    bench = start_bench(project, "dpo", snapshot, base, {"learning_rate": None})
    for run in runs_of(bench):
        assert run.config["learning_rate"] == load("dpo", {"adapter": run.config["adapter"]}).learning_rate


def test_what_has_no_place_in_the_model_gets_no_run_but_the_reason(
    project: Project,
    snapshot: Snapshot,  # noqa: F811
    llama: Artifact,
) -> None:
    bench = start_bench(project, "reward", snapshot, llama)
    assert set(bench.refused) == {"bias"} and not [r for r in runs_of(bench) if r.config["adapter"] == "bias"]
    cell = next(cell for cell in cells_of(bench, runs_of(bench)) if cell.method == "bias")
    assert cell.state == "refused" and "bias" in cell.reason and cell.reason == refusal_of(bench, "bias")


def test_a_bench_of_policies_says_why_there_is_no_score_head(
    project: Project,
    snapshot: Snapshot,  # noqa: F811
    base: Artifact,
) -> None:
    bench = start_bench(project, "dpo", snapshot, base)
    assert refusal_of(bench, "head") == "Only a reward model has a score head."
    assert len(runs_of(bench)) == len(ADAPTERS) - 1


def test_on_an_encoder_what_was_made_for_decoders_is_refused(
    project: Project,
    snapshot: Snapshot,  # noqa: F811
) -> None:
    encoder = Artifact.objects.create(project=project, name="bert", task="encoder", location="owner/bert")
    bench = start_bench(project, "reward", snapshot, encoder)
    assert set(bench.refused) == {"qlora", "prefix", "p_tuning", "p_tuning_v2"}
    assert refusal_of(bench, "qlora") == "It is not offered on an encoder."


def encoder_of(project: Project, folder: Path, **config: Any) -> Artifact:
    (folder / "config.json").write_text(json.dumps({"vocab_size": 1000, "max_position_embeddings": 512, **config}))
    return Artifact.objects.create(project=project, name="encoder", task="encoder", location=str(folder))


def test_a_method_is_refused_by_its_own_settings_and_not_by_those_of_another(
    project: Project,
    snapshot: Snapshot,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Three layers have no place for the usual four, nor a context of 512 for virtual tokens before 512 others."""
    sizes = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 12}
    bert = encoder_of(project, tmp_path, model_type="bert", **sizes)
    usual = start_bench(project, "reward", snapshot, bert, {"max_length": 512})
    assert {"last_layers", "prompt_tuning"} <= set(usual.refused)
    own = {"prompt_tuning": {"max_length": 256}, "last_layers": {"layers": 2}}
    bench = start_bench(project, "reward", snapshot, bert, {"max_length": 512}, overrides=own)
    assert set(bench.refused) == {"qlora", "prefix", "p_tuning", "p_tuning_v2"}
    assert {"last_layers", "prompt_tuning", "bias"} <= {run.config["adapter"] for run in runs_of(bench)}


def test_on_a_distilled_encoder_biases_are_trained_too(
    project: Project,
    snapshot: Snapshot,  # noqa: F811
    tmp_path: Path,
) -> None:
    sizes = {"dim": 48, "hidden_dim": 80, "n_layers": 6, "n_heads": 4}
    model = encoder_of(project, tmp_path, model_type="distilbert", **sizes)
    bench = start_bench(project, "reward", snapshot, model, {"max_length": 256})
    assert set(bench.refused) == {"qlora", "prefix", "p_tuning", "p_tuning_v2"}


def test_a_family_that_is_not_known_refuses_nothing(
    project: Project,
    snapshot: Snapshot,  # noqa: F811
    tmp_path: Path,
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA, "model_type": "gpt_neox"}))
    model = Artifact.objects.create(project=project, name="pythia", location=str(tmp_path))
    assert not start_bench(project, "reward", snapshot, model, {"targets": "query_key_value"}).refused


@pytest.mark.parametrize(
    ("asked", "kind", "said"),
    [
        ({"recipe": "sft"}, BadInput, "no bench of “sft”"),
        ({"methods": ["lora", "magic"]}, BadInput, "no adapter method “magic”"),
        ({"overrides": {"magic": {}}}, BadInput, "no adapter method “magic”"),
        ({"methods": ["lora"]}, BadInput, "nothing to compare: 1 of"),
        ({"config": {"adapter": "lora"}}, BadConfig, "chooses the adapter itself"),
        ({"overrides": {"lora": {"adapter": "full"}}}, BadConfig, "chooses the adapter itself"),
        ({"config": {"epochs": 0}}, BadConfig, "epochs"),
        ({"overrides": {"ia3": {"rnk": 3}}}, BadConfig, "rnk"),
    ],
)
def test_a_request_that_cannot_be_met_makes_nothing(
    project: Project,
    snapshot: Snapshot,  # noqa: F811
    base: Artifact,
    asked: dict[str, Any],
    kind: type,
    said: str,
) -> None:
    with pytest.raises(kind, match=said):
        start_bench(project, asked.pop("recipe", "reward"), snapshot, base, asked.pop("config", {}), **asked)
    assert not Bench.objects.exists() and not Run.objects.exists()


def test_too_few_labels_make_nothing(project: Project, snapshot: Snapshot, base: Artifact) -> None:  # noqa: F811
    snapshot.counts["won_by_a"] = 0
    with pytest.raises(TooFewLabels):
        start_bench(project, "reward", snapshot, base)
    assert not Bench.objects.exists()


def test_what_failed_or_was_cancelled_runs_again_and_what_is_done_stays(bench: Bench, lead: User) -> None:
    done, failed = run_of(bench, "lora"), run_of(bench, "prefix")
    finish(done, share(0.7))
    end(failed, RunState.FAILED)
    cancelled = cancel_bench(bench)
    assert cancelled == len(ADAPTERS) - 2 and state_of(runs_of(bench)) == "incomplete"
    again = resume_bench(bench, actor=lead)
    assert {run.pk for run in again} == {run.pk for run in runs_of(bench)} - {done.pk}
    done.refresh_from_db()
    assert done.state == "succeeded" and state_of(runs_of(bench)) == "waiting"
    assert cancel_bench(bench) == len(ADAPTERS) - 1 and cancel_bench(bench) == 0


def test_a_bench_without_gaps_is_not_resumed(bench: Bench) -> None:
    with pytest.raises(RunNotResumable, match="No run of bench 1"):
        resume_bench(bench)


def test_a_running_cell_makes_the_bench_a_running_one(bench: Bench) -> None:
    assert state_of(runs_of(bench)) == "waiting"
    assert runs.claim(run_of(bench, "lora"), "host:gpu0", "host:1")
    assert state_of(runs_of(bench)) == "running"


def test_the_table_is_read_off_the_manifests_and_ordered_by_a_column(bench: Bench) -> None:
    finish(run_of(bench, "lora"), share(0.6), seconds=9.0)
    finish(run_of(bench, "ia3"), share(0.8), seconds=30.0)
    end(run_of(bench, "prefix"), RunState.FAILED)
    cells = cells_of(bench, runs_of(bench), "accuracy")
    assert [cell.method for cell in cells][:2] == ["ia3", "lora"]
    assert [cell.method for cell in cells_of(bench, runs_of(bench), "seconds")][:2] == ["lora", "ia3"]
    assert [cell.method for cell in cells_of(bench, runs_of(bench), "'; drop")] == list(ADAPTERS)
    row = rows_of(cells)[0]
    assert tuple(row) == COLUMNS and row["peak_bytes"] == 10**9 and row["trainable_percent"] == 5
    assert (row["unmerged_ratio"], row["merged_ratio"], row["base_seconds"]) == (1.2, None, 0.01)
    assert cells[0].merged.note == "It cannot be merged."


def test_the_time_of_a_head_holds_the_reading_of_its_texts(bench: Bench) -> None:
    features = {"computed": 80, "reused": 0, "seconds": 61.5}
    finish(run_of(bench, "head"), share(0.6), seconds=0.1, features=features)
    cells = cells_of(bench, runs_of(bench), "seconds")
    assert cells[0].method == "head" and rows_of(cells)[0]["seconds"] == pytest.approx(61.6)
    said = f"{ADAPTERS['head']}: its time holds 61.5 s in which the bare model read all texts, the held-out ones too."
    assert said in told_of(cells)


def test_what_an_earlier_run_has_read_is_said_to_be_in_no_time(bench: Bench) -> None:
    features = {"computed": 2, "reused": 78, "seconds": 1.5}
    finish(run_of(bench, "head"), share(0.6), seconds=0.1, features=features)
    said = f"{ADAPTERS['head']}: its time holds no reading of 78 texts, whose features an earlier run had kept."
    assert said in told_of(cells_of(bench, runs_of(bench)))


def test_the_peak_of_a_gpu_goes_before_that_of_the_host(bench: Bench) -> None:
    peak = {"memory_bytes": 10**9, "gpu_memory_bytes": 3 * 10**9}
    finish(run_of(bench, "lora"), share(0.6), peak=peak)
    cells = cells_of(bench, runs_of(bench), "accuracy")
    assert cells[0].peak_bytes == 3 * 10**9


def test_what_cannot_be_told_apart_is_said(bench: Bench) -> None:
    finish(run_of(bench, "lora"), share(0.60, 0.05))
    assert told_of(cells_of(bench, runs_of(bench))) == [
        "With 40 held-out pairs an accuracy is known to about ±15 points."
    ]
    finish(run_of(bench, "ia3"), share(0.65, 0.05))
    assert told_of(cells_of(bench, runs_of(bench)))[1].startswith("No method can be told from (IA)³")
    finish(run_of(bench, "prefix"), share(0.4, 0.05))
    said = told_of(cells_of(bench, runs_of(bench)))[1]
    assert said == "These cannot be told from (IA)³, the best of them: LoRA. Their intervals overlap."
    finish(run_of(bench, "full"), share(0.9, 0.05))
    assert "Full fine-tuning (every weight) is better than all others" in told_of(cells_of(bench, runs_of(bench)))[1]


def test_too_few_pairs_for_any_accuracy_are_said_instead_of_it(bench: Bench) -> None:
    finish(run_of(bench, "lora"), {"value": None, "low": None, "high": None, "n": 3})
    assert told_of(cells_of(bench, runs_of(bench))) == ["Only 3 held-out pairs: too few to say anything."]
