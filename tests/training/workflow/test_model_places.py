"""From where a project may register models: never from what another one has made, and only below the roots if named."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.test import Client

from annotate.models import Project, User
from annotate.workflow.projects import create_project
from training.models import Artifact, Run
from training.recipes.export import export_folder
from training.workflow import artifacts, runs
from training.workflow.exceptions import ModelNotFound, ModelRefused
from training.workflow.folders import artifact_folder

pytestmark = pytest.mark.django_db
Put = Callable[[Path], Path]


@pytest.fixture
def other(lead: User) -> Project:
    return create_project(slug="orchard", name="Orchard", manager=lead)


@pytest.fixture
def put(model_folder: Path) -> Put:
    """A whole model at a place, as a full training or an export leaves it there."""
    return lambda place: Path(shutil.copytree(model_folder, place))


@pytest.fixture
def theirs(policy: Artifact, put: Put) -> Path:
    """What a run of the project "garden" has made."""
    run = runs.create_run(policy.project, "dpo", {}, "secret work", model=policy)
    return put(artifact_folder(run))


def _refusal(project: Project, location: Path | str) -> str:
    with pytest.raises(ModelRefused) as refused:
        artifacts.register_base(project, "x", str(location))
    assert not project.artifacts.exists()
    return refused.value.message.replace(str(location), "PLACE")


def test_another_projects_model_is_refused_as_one_that_is_not_there(
    other: Project, theirs: Path, settings: LazySettings
) -> None:
    nothing = settings.RUNS_DIR / "999999" / "artifact"
    assert _refusal(other, theirs) == _refusal(other, nothing) == _refusal(other, settings.RUNS_DIR)
    assert _refusal(other, settings.RUNS_DIR / "x" / ".." / theirs.parent.name / "artifact") == _refusal(other, theirs)


def test_the_api_refuses_it_too(client: Client, other: Project, lead: User, theirs: Path) -> None:
    client.force_login(lead)
    answer = client.post("/api/v1/projects/orchard/models/", {"name": "taken", "location": str(theirs)})
    assert (answer.status_code, answer.json()["code"]) == (400, "ModelRefused")
    assert not other.artifacts.exists()


def test_links_to_another_projects_model_are_followed(other: Project, theirs: Path, put: Put, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(theirs)
    _refusal(other, tmp_path / "link")
    mine = put(tmp_path / "mine")
    (mine / "model.safetensors").unlink()
    (mine / "model.safetensors").symlink_to(theirs / "model.safetensors")
    _refusal(other, mine)


def test_another_projects_export_is_refused_and_the_own_one_is_taken(
    other: Project, project: Project, put: Put, settings: LazySettings
) -> None:
    folder = put(export_folder(settings.MODELS_DIR, project.slug, "plain"))
    _refusal(other, folder)
    _refusal(other, folder.parent.parent / "nobody" / "plain")
    assert artifacts.register_base(project, "again", str(folder)).location == str(folder.resolve())


def test_what_the_projects_own_run_has_made_is_taken(project: Project, theirs: Path) -> None:
    assert artifacts.register_base(project, "again", str(theirs)).location == str(theirs.resolve())
    assert Run.objects.get().project == project


def test_the_operator_may_say_below_which_folders_models_lie(
    project: Project, put: Put, theirs: Path, tmp_path: Path, settings: LazySettings
) -> None:
    inside, outside = put(tmp_path / "models" / "small"), put(tmp_path / "elsewhere")
    (tmp_path / "shelf").symlink_to(tmp_path / "models")
    settings.MODEL_ROOTS = [tmp_path / "shelf"]
    (tmp_path / "models" / "out").symlink_to(outside)
    for place in (outside, tmp_path / "models" / "out", tmp_path / "nothing", tmp_path / "models-too"):
        with pytest.raises(ModelRefused, match="may register"):
            artifacts.register_base(project, "x", str(place))
    for place in (inside, tmp_path / "shelf" / "small", theirs, "owner/name"):
        assert artifacts.register_base(project, f"from {place}"[-100:], str(place))
    with pytest.raises(ModelNotFound):
        artifacts.register_base(project, "x", str(tmp_path / "models" / "nothing"))


def test_without_roots_any_place_is_taken(project: Project, put: Put, tmp_path: Path, settings: LazySettings) -> None:
    assert settings.MODEL_ROOTS == []
    assert artifacts.register_base(project, "x", str(put(tmp_path / "anywhere")))
