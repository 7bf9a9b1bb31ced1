"""Who may do what over the API: the table of docs/api.md, asked of every address with every role."""

import re

import pytest
from rest_framework.test import APIClient

from annotate.models import Project, User
from tests.test_docs_true import rows_of_the_api

ASKED = [
    (address, method, who.split("; ")[-1 if method != "GET" else 0])
    for address, methods, who, _what in rows_of_the_api().values()
    if address.startswith("`projects/<project>/")
    for method in methods.split(", ")
]


@pytest.mark.django_db
def test_every_call_is_open_to_the_role_that_the_table_names_and_to_no_lower_one(
    project: Project, lead: User, ann: User, reviewer: User, stranger: User
) -> None:
    """What is not there is looked for after the role, so ids of nothing do."""
    needed = {"member": (ann, stranger), "reviewer": (reviewer, ann), "manager": (lead, reviewer)}
    client = APIClient()
    assert len(ASKED) > 60
    for address, method, who in ASKED:
        path = "/api/v1/" + re.sub(r"<id>|<n>", "987654", address.strip("`").replace("<project>", project.slug))
        allowed, lower = needed[who]
        answers = []
        for person in (allowed, lower):
            client.force_authenticate(person)
            answers.append(client.generic(method, path, "{}", content_type="application/json").status_code)
        assert answers[0] not in (403, 405), (method, path, who)
        assert answers[1] == (404 if lower == stranger else 403), (method, path, who)
