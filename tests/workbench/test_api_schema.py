"""The schema: for those who have signed in, generated once."""

import pytest
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from annotate.models import User
from workbench.api_schema import _schema

pytestmark = pytest.mark.django_db
SCHEMA = "/api/v1/schema/"


def test_a_stranger_does_not_get_it(client: Client) -> None:
    assert client.get(SCHEMA).status_code in (401, 403)


def test_it_is_generated_once_for_all_readers_and_by_language(
    ann: User, ben: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bool] = []

    def generated(_self: SchemaGenerator, **_given: object) -> dict[str, str]:
        made.append(True)
        return {"openapi": "3"}

    monkeypatch.setattr(SchemaGenerator, "get_schema", generated)
    _schema.cache_clear()
    for reader in (ann, ben, ann):
        client = APIClient()
        client.force_authenticate(reader)
        answer = client.get(SCHEMA + "?format=json")
        assert answer.json() == {"openapi": "3"} and answer["Content-Type"].startswith(
            "application/vnd.oai.openapi+json"
        )
        assert client.get(SCHEMA + f"?format=json&version={reader.pk}&lang=xx").status_code == 200
    assert len(made) == 1
    assert b"openapi: '3'" in client.get(SCHEMA).content and len(made) == 2
    client.get(SCHEMA + "?lang=zh-hans")
    assert len(made) == 3
    _schema.cache_clear()
