"""What is answered while the database is restarted or locked."""

import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client

from annotate.models import Project, User

pytestmark = [pytest.mark.django_db, pytest.mark.not_db]


@pytest.mark.parametrize("error", [OperationalError("database is locked"), InterfaceError("connection is closed")])
@pytest.mark.parametrize(
    ("path", "headers", "said"),
    [
        ("/api/v1/projects/{}/", {}, '"code":"DatabaseAway"'),
        ("/p/{}/", {}, "<h1>The database does not answer</h1>"),
        ("/p/{}/", {"HX-Request": "true"}, "data-problem"),
    ],
)
def test_it_is_told_apart_from_a_mistake_of_the_server(
    project: Project,
    lead: User,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    path: str,
    headers: dict[str, str],
    said: str,
) -> None:
    client.force_login(lead)

    def away(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("django.db.models.query.QuerySet.get", away)
    response = client.get(path.format(project.slug), headers=headers)
    assert response.status_code == 503 and response.headers["Retry-After"] == "5"
    assert said in response.content.decode()
