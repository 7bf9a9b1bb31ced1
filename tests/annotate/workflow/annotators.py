"""A process of annotators who judge as fast as they can: `python -m tests.annotate.workflow.annotators SLUG NAME...`.

Prints one acknowledged client key a line.
"""

import random
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import django

django.setup()

from django.db import connection  # noqa: E402

from annotate.models import Choice, Project, User  # noqa: E402
from annotate.workflow.assignment import lease_next  # noqa: E402
from annotate.workflow.judging import submit_judgment  # noqa: E402


def judge_everything(slug: str, name: str) -> list[str]:
    """Every second submit is sent twice, as by a double click."""
    project, annotator = Project.objects.get(slug=slug), User.objects.get(username=name)
    keys = []
    while lease := lease_next(project=project, annotator=annotator):
        key = uuid.uuid4()
        choice = random.choice(list(Choice))
        for _ in range(1 + len(keys) % 2):
            submit_judgment(assignment_id=lease.pk, annotator=annotator, choice=choice, client_key=key)
        keys.append(str(key))
    connection.close()
    return keys


if __name__ == "__main__":
    slug, *names = sys.argv[1:]
    with ThreadPoolExecutor(len(names)) as pool:
        for acknowledged in pool.map(judge_everything, [slug] * len(names), names):
            print("\n".join(acknowledged))
