"""Sets the scene of the browser tests: accounts, a project with prompts, the fixture model."""

import django

django.setup()

from django.conf import settings  # noqa: E402

from annotate.models import Role, User  # noqa: E402
from annotate.workflow.intake import import_prompts  # noqa: E402
from annotate.workflow.projects import create_project, set_member  # noqa: E402
from tests.training.fixture_model import build_fixture_model  # noqa: E402
from training.workflow.artifacts import register_base  # noqa: E402

PASSWORD = "correct horse battery"
GUIDELINE = "Prefer the response that **helps**.\n\n1. True before friendly.\n2. Short before long."


def main() -> None:
    lead = User.objects.create_user("lead", password=PASSWORD, is_staff=True)
    ann = User.objects.create_user("ann", password=PASSWORD)
    project = create_project(
        slug="garden", name="Garden", manager=lead, overlap=1, guideline=GUIDELINE, summary="First version"
    )
    set_member(project=project, user=ann, role=Role.ANNOTATOR)
    import_prompts(project=project, lines=[f'{{"prompt": "How do I grow plant number {n}?"}}\n' for n in range(40)])
    model = build_fixture_model(settings.HOME / "fixture-model")
    register_base(project, "Fixture", str(model))


if __name__ == "__main__":
    main()
