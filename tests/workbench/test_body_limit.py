"""A body that is too large for anything is refused before it is read."""

import pytest
from django.conf import LazySettings
from django.test import Client
from django.test.client import FakePayload

from annotate.forms import LARGEST_UPLOAD
from annotate.models import User

pytestmark = pytest.mark.django_db
FORM = {"content_type": "multipart/form-data; boundary=x"}


class Unread(FakePayload):
    """A body whose first byte is one too many."""

    def read(self, *size: int) -> bytes:
        raise AssertionError("read")

    readline = read


@pytest.fixture
def small(settings: LazySettings) -> None:
    settings.LARGEST_BODY = 2 * 2**20


def _post(client: Client, address: str, length: str, **extra: str) -> object:
    given = {"wsgi.input": Unread(), "CONTENT_LENGTH": length, "CONTENT_TYPE": FORM["content_type"], **extra}
    return client.generic("POST", address, **given)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("length", [str(2 * 2**20 + 1), "9" * 5000])
def test_a_page_says_the_limit_and_no_byte_is_read(client: Client, length: str) -> None:
    answer = _post(client, "/accounts/login/", length)
    assert answer.status_code == 413 and "2 MB" in answer.content.decode()
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    fragment = _post(client, "/accounts/login/", length, HTTP_HX_REQUEST="true").content.decode()
    assert "2 MB" in fragment and "<html" not in fragment


@pytest.mark.usefixtures("small")
def test_the_api_says_it_in_its_form_and_in_the_readers_language(client: Client) -> None:
    answer = _post(client, "/api/v1/projects/garden/prompts/", str(2**30))
    assert (answer.status_code, answer.json()["code"]) == (413, "BodyTooLarge")
    assert "2 MB" in answer.json()["detail"] and answer.json()["hint"]


def test_a_body_of_unknown_length_is_refused(client: Client) -> None:
    answer = _post(client, "/api/v1/projects/garden/prompts/", "", HTTP_TRANSFER_ENCODING="chunked")
    assert (answer.status_code, answer.json()["code"]) == (411, "BodyOfUnknownLength")


@pytest.mark.usefixtures("small")
def test_what_is_as_large_as_the_limit_and_what_has_no_body_passes(client: Client, lead: User) -> None:
    assert client.post("/accounts/login/", "x" * 2 * 2**20, content_type="text/plain").status_code == 200
    assert client.get("/accounts/login/").status_code == 200


def test_the_largest_upload_fits_with_the_form_around_it(settings: LazySettings) -> None:
    assert LARGEST_UPLOAD + 2**20 < settings.LARGEST_BODY
