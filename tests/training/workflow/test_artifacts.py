"""What is taken for a model, what is refused and why, and how adapters chain."""

import errno
import json
import shutil
from pathlib import Path

import pytest

from annotate.models import Judgment, Project, Snapshot
from training.models import Artifact
from training.workflow import artifacts, lineage
from training.workflow.exceptions import ModelNotFound, ModelRefused, NameTaken

pytestmark = pytest.mark.django_db


@pytest.fixture
def copy(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "copy"))


def _refused(project: Project, location: Path | str, words: str) -> None:
    with pytest.raises(ModelRefused, match=words) as refused:
        artifacts.register_base(project, "x", str(location))
    assert refused.value.hint
    assert not Artifact.objects.exists()


def test_a_folder_of_safetensors_is_taken(project: Project, copy: Path) -> None:
    artifact = artifacts.register_base(project, "copy", str(copy))
    assert artifacts.model_spec(artifact) == {"base": str(copy), "adapters": []}


def test_a_gguf_file_is_known_by_its_first_bytes(project: Project, tmp_path: Path) -> None:
    (tmp_path / "good.gguf").write_bytes(b"GGUF" + bytes(20))
    assert artifacts.register_base(project, "gguf", str(tmp_path / "good.gguf"))
    (tmp_path / "bad.gguf").write_bytes(b"<html>")
    with pytest.raises(ModelRefused, match="no GGUF"):
        artifacts.register_base(project, "bad", str(tmp_path / "bad.gguf"))


def test_a_hub_id_is_taken_as_it_is(project: Project) -> None:
    assert artifacts.register_base(project, "hub", "owner/name-1.5B").location == "owner/name-1.5B"


@pytest.mark.parametrize("location", ["/no/such/folder", "nowhere", "", "a/b/c", "../x"])
def test_nothing_at_the_location(project: Project, location: str) -> None:
    with pytest.raises(ModelNotFound, match="no model"):
        artifacts.register_base(project, "x", location)


@pytest.mark.parametrize("location", ["/" + "a" * 300, "a" * 300 + "/name", "~nobody-of-this-name/model"])
def test_a_location_that_cannot_be_one_is_refused_with_the_reason(project: Project, location: str) -> None:
    _refused(project, location, "cannot be looked at: .")


def test_a_folder_that_the_web_server_may_not_enter_is_refused_with_the_reason(
    project: Project, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root, who may run these tests, may enter any."""

    def closed(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", closed)
    _refused(project, copy, "cannot be looked at: Permission denied")


def test_pickled_weights_are_refused(project: Project, copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    _refused(project, copy, "pickle")


def test_a_classifier_is_no_causal_lm(project: Project, copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "architectures": ["LlamaForSequenceClassification"]}))
    _refused(project, copy, "LlamaForSequenceClassification")


def test_a_model_without_chat_template_is_refused(project: Project, copy: Path) -> None:
    (copy / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer = json.loads((copy / "tokenizer_config.json").read_text())
    tokenizer.pop("chat_template", None)
    (copy / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    _refused(project, copy, "chat template")


def test_a_model_whose_responses_would_never_end_is_refused(project: Project, copy: Path) -> None:
    """Where the files tell; a tokenizer of a class of its own brings what they do not name."""
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    settings.pop("eos_token")
    (copy / "special_tokens_map.json").unlink(missing_ok=True)
    (copy / "tokenizer_config.json").write_text(json.dumps(settings))
    _refused(project, copy, "end-of-text")
    (copy / "tokenizer_config.json").write_text(json.dumps({**settings, "tokenizer_class": "GPT2Tokenizer"}))
    assert artifacts.register_base(project, "of a class", str(copy))
    (copy / "tokenizer_config.json").write_text(json.dumps(settings))
    (copy / "special_tokens_map.json").write_text('{"eos_token": "<|im_end|>"}')
    assert artifacts.register_base(project, "of a map", str(copy))


def test_a_folder_without_config_is_refused(project: Project, tmp_path: Path) -> None:
    _refused(project, tmp_path, r"config\.json")


def test_a_broken_config_is_refused(project: Project, copy: Path) -> None:
    (copy / "config.json").write_text("{")
    _refused(project, copy, r"config\.json")


def test_a_name_is_given_once(project: Project, policy: Artifact) -> None:
    with pytest.raises(NameTaken, match="fixture"):
        artifacts.register_base(project, policy.name, policy.location)


def test_adapters_are_applied_in_the_order_of_their_making(project: Project, policy: Artifact) -> None:
    first = Artifact.objects.create(project=project, name="1", location="/1", is_adapter=True, parent=policy)
    second = Artifact.objects.create(project=project, name="2", location="/2", is_adapter=True, parent=first)
    assert artifacts.model_spec(second) == {"base": policy.location, "adapters": ["/1", "/2"]}
    full = Artifact.objects.create(project=project, name="3", location="/3", parent=second)
    assert artifacts.model_spec(full) == {"base": "/3", "adapters": []}
    assert lineage.parents_of(full) == [second, first, policy]


def test_the_newest_policy_is_meant_when_none_is_named(project: Project, policy: Artifact) -> None:
    newer = artifacts.register_base(project, "newer", policy.location)
    Artifact.objects.create(project=project, name="score", task="reward", location="/r")
    assert artifacts.policy_named(project) == newer
    assert artifacts.policy_named(project, "fixture") == policy
    with pytest.raises(ModelNotFound, match="“newer”, “fixture”"):
        artifacts.policy_named(project, "score")


def test_a_judgment_leads_to_models_made_from_those_trained_on_it(
    project: Project, policy: Artifact, snapshot: Snapshot
) -> None:
    trained = Artifact.objects.create(project=project, name="t", location="/t", parent=policy, snapshot=snapshot)
    grandchild = Artifact.objects.create(project=project, name="g", location="/g", parent=trained)
    judgment = Judgment.objects.counted().first()
    assert lineage.artifacts_of_judgment(judgment) == [trained, grandchild]
    assert lineage.lineage_of(grandchild).parents == [trained, policy]
    late = Judgment(comparison=judgment.comparison, pk=judgment.pk + 1000)
    assert lineage.artifacts_of_judgment(late) == []
