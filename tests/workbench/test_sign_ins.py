"""Sign-ins that fail are counted by account and address, so that nobody tries passwords all night, or burns the CPU."""

import logging
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.utils import timezone

from annotate.models import User
from tests.factories import PASSWORD, make_user
from workbench import sign_ins
from workbench.models import FailedSignIn

pytestmark = pytest.mark.django_db
SIGN_IN, ADMIN = "/accounts/login/", "/admin/login/"


def attempt(
    client: Client, name: str, password: str = "wrong", *, address: str = "192.0.2.1", to: str = SIGN_IN, **headers: str
) -> HttpResponse:
    return client.post(to, {"username": name, "password": password}, REMOTE_ADDR=address, headers=headers)


def fail(client: Client, name: str, times: int = sign_ins.MOST_OF_ACCOUNT, **more: str) -> None:
    for _ in range(times):
        answer = attempt(client, name, **more)
        assert answer.status_code == 200 and "correct username and password" in answer.content.decode()


def later(minutes: int) -> None:
    """What has been counted is that much older."""
    for row in FailedSignIn.objects.all():
        FailedSignIn.objects.filter(pk=row.pk).update(at=row.at - timedelta(minutes=minutes))


def test_after_some_failures_not_even_the_right_password_is_looked_at(
    client: Client, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(client, "ann")
    monkeypatch.setattr(User, "check_password", lambda *_: pytest.fail("a password was hashed"))
    answer = attempt(client, "ann", PASSWORD)
    assert answer.status_code == 429 and 0 < int(answer["Retry-After"]) <= sign_ins.WINDOW.total_seconds()
    page = answer.content.decode()
    assert "Too many sign-ins have failed" in page and "15 minutes" in page and 'name="password"' in page
    assert "sessionid" not in client.cookies


def test_it_is_open_again_when_it_was_said_to_be(client: Client, ann: User) -> None:
    fail(client, "ann")
    later(14)
    answer = attempt(client, "ann", PASSWORD)
    assert answer.status_code == 429 and "1 minute." in answer.content.decode()
    later(1)
    assert attempt(client, "ann", PASSWORD).status_code == 302


def test_what_is_refused_is_not_counted_again(client: Client, ann: User) -> None:
    """Or a tab that goes on trying would shut the person out for ever."""
    fail(client, "ann")
    later(10)
    assert attempt(client, "ann").status_code == 429
    later(5)
    assert attempt(client, "ann", PASSWORD).status_code == 302


def test_a_strangers_failures_shut_nobody_out_elsewhere(client: Client, ann: User, ben: User) -> None:
    fail(client, "ann")
    assert attempt(client, "ann", PASSWORD, address="198.51.100.7").status_code == 302
    assert attempt(Client(), "ben", PASSWORD).status_code == 302


def test_one_address_may_not_try_account_after_account(client: Client, ann: User) -> None:
    for number in range(sign_ins.MOST_OF_ADDRESS):
        attempt(client, f"nobody{number}")
    assert attempt(client, "ann", PASSWORD).status_code == 429
    assert attempt(client, "ann", PASSWORD, address="192.0.2.2").status_code == 302


def test_a_right_password_takes_the_accounts_failures_back_and_no_others(client: Client, ann: User) -> None:
    fail(client, "ann", sign_ins.MOST_OF_ACCOUNT - 1)
    fail(client, "somebody", 2)
    assert attempt(client, "ann", PASSWORD).status_code == 302
    assert FailedSignIn.objects.count() == 2


def test_another_way_of_writing_a_name_is_no_other_account(client: Client, ann: User) -> None:
    """The form reads full-width letters as the letters that they are."""
    fail(client, "ann", sign_ins.MOST_OF_ACCOUNT - 1)
    fail(client, " ａｎｎ ", 1)
    assert attempt(client, "ann", PASSWORD).status_code == 429


def test_the_admin_has_no_door_of_its_own(client: Client, ann: User) -> None:
    make_user("root", is_superuser=True, is_staff=True)
    fail(client, "root", to=ADMIN)
    for door in (ADMIN, SIGN_IN):
        assert attempt(client, "root", PASSWORD, to=door).status_code == 429
    later(15)
    answer = attempt(client, "root", PASSWORD, to=f"{ADMIN}?next=/admin/annotate/user/")
    assert (answer.status_code, answer["Location"]) == (302, "/admin/annotate/user/")
    assert attempt(Client(), "root", PASSWORD, to=ADMIN)["Location"] == "/admin/"


def test_who_is_no_administrator_is_told_so_and_not_sent_in_a_circle(client: Client, ann: User) -> None:
    client.force_login(ann)
    answer = client.get("/admin/", follow=True)
    assert answer.status_code == 200 and "may not open that page" in answer.content.decode()


def test_a_failure_is_logged_without_what_was_typed_for_a_name(
    client: Client, ann: User, caplog: pytest.LogCaptureFixture
) -> None:
    """People type their password into the wrong field."""
    caplog.set_level(logging.WARNING, "workbench.sign_ins")
    attempt(client, "ann")
    attempt(client, "my secret")
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "Sign-in failed: 'ann' from 192.0.2.1",
        "Sign-in failed: an unknown account from 192.0.2.1",
    ]
    assert not FailedSignIn.objects.filter(account__contains="secret").exists()


def test_old_failures_are_not_kept(client: Client, ann: User) -> None:
    fail(client, "ann", 3)
    later(16)
    attempt(client, "ann")
    assert FailedSignIn.objects.count() == 1
    assert FailedSignIn.objects.get().at > timezone.now() - timedelta(minutes=1)


def test_behind_a_proxy_the_address_is_the_one_that_the_proxy_was_asked_from(
    client: Client, ann: User, settings: LazySettings
) -> None:
    settings.PROXIES = 1
    spoofed = [f"203.0.113.{number}, 192.0.2.9" for number in range(sign_ins.MOST_OF_ACCOUNT)]
    for header in spoofed:
        attempt(client, "ann", address="127.0.0.1", x_forwarded_for=header)
    of = {"address": "127.0.0.1", "x_forwarded_for": "192.0.2.9"}
    assert attempt(client, "ann", PASSWORD, **of).status_code == 429
    assert attempt(client, "ann", PASSWORD, **{**of, "x_forwarded_for": "192.0.2.10"}).status_code == 302


@pytest.mark.parametrize(
    ("proxies", "remote", "forwarded", "found"),
    [
        (0, "192.0.2.1", "203.0.113.5", "192.0.2.1"),
        (1, "127.0.0.1", "203.0.113.5", "203.0.113.5"),
        (1, "127.0.0.1", "10.0.0.1, 203.0.113.5:4711", "203.0.113.5"),
        (2, "127.0.0.1", "6.6.6.6, 203.0.113.5, 10.0.0.1", "203.0.113.5"),
        (2, "127.0.0.1", "203.0.113.5", "127.0.0.1"),
        (1, "127.0.0.1", "", "127.0.0.1"),
        (1, "127.0.0.1", "nonsense", "unknown"),
        (0, "", "", "unknown"),
        (0, "::ffff:192.0.2.1", "", "192.0.2.1"),
        (1, "127.0.0.1", "[2001:db8::1]:4711", "2001:db8::/64"),
        (0, "2001:db8::ffff:2", "", "2001:db8::/64"),
    ],
)
def test_whose_address_counts(proxies: int, remote: str, forwarded: str, found: str, settings: LazySettings) -> None:
    """Of IPv6 the network: who has one address has 2**64."""
    settings.PROXIES = proxies
    more = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}
    assert sign_ins.address_of(RequestFactory().get("/", REMOTE_ADDR=remote, **more)) == found
