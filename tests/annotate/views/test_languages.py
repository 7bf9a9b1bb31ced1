"""Every page speaks the language that was chosen."""

import pytest
from django.test import Client

from annotate.models import Project, User

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "address", ["", "judge/", "guideline/", "agreement/", "snapshots/", "rounds/", "runs/", "models/"]
)
def test_a_page_in_chinese_is_chinese(project: Project, lead: User, client: Client, address: str) -> None:
    client.force_login(lead)
    english = client.get(f"/p/garden/{address}").content.decode()
    chinese = client.get(f"/p/garden/{address}", headers={"Accept-Language": "zh-hans"}).content.decode()
    assert 'lang="en"' in english and "标注指南" not in english
    assert 'lang="zh-hans"' in chinese and "标注指南" in chinese


def test_the_language_is_remembered(project: Project, lead: User, client: Client) -> None:
    client.force_login(lead)
    client.post("/i18n/setlang/", {"language": "zh-hans", "next": "/p/garden/"})
    assert "标注指南" in client.get("/p/garden/").content.decode()
