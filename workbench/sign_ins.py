"""Counts the sign-ins that fail, by account and address, and says when the next one may be tried."""

import ipaddress
import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from workbench.models import FailedSignIn

log = logging.getLogger(__name__)

WINDOW = timedelta(minutes=15)
# Within the window: of an account from one address, which leaves its owner alone elsewhere; and of an address whatever
# the account, which an office may share. A password takes most of a second to check.
MOST_OF_ACCOUNT, MOST_OF_ADDRESS = 5, 30
UNKNOWN = "unknown"


class TooManySignIns(Exception):
    """Too many have failed: the next may be tried at `until`."""

    def __init__(self, until: datetime) -> None:
        super().__init__(until)
        self.until = until


def begin(name: str, address: str) -> None:
    """Counts a sign-in as failed before the password is looked at, so that many at once are no way round the limit.

    Raises TooManySignIns; what is refused is not counted. Between the look and the row there are milliseconds, in
    which a thread may slip through: one try more is worth no lock."""
    now, account = timezone.now(), _account(name)
    recent = FailedSignIn.objects.filter(address=address, at__gt=now - WINDOW).order_by("-at")
    last_free = [*recent.filter(account=account)[MOST_OF_ACCOUNT - 1 :][:1], *recent[MOST_OF_ADDRESS - 1 :][:1]]
    if last_free:
        raise TooManySignIns(max(row.at for row in last_free) + WINDOW)
    FailedSignIn.objects.filter(at__lte=now - WINDOW).delete()
    FailedSignIn.objects.create(address=address, account=account, at=now)


def succeed(name: str, address: str) -> None:
    """The password was right: what has failed of this account here counts no longer."""
    FailedSignIn.objects.filter(address=address, account=_account(name)).delete()


def tell(what: str, name: str, address: str) -> None:
    """A line in the log. What is no account's name is not written: it may be a password."""
    known = get_user_model().objects.filter(username=name).exists()
    log.warning("Sign-in %s: %s from %s", what, repr(name) if known else "an unknown account", address)


def address_of(request: HttpRequest) -> str:
    """Who asks: of IPv6 the network, since a household has 2**64 addresses. Behind PROXIES proxies, each of which adds
    whom it was asked by, what the outermost has added: whatever stands before that, anybody may have written."""
    address = request.META.get("REMOTE_ADDR", "")
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    if settings.PROXIES and len(forwarded) >= settings.PROXIES and forwarded != [""]:
        address = forwarded[-settings.PROXIES]
    return _network(_without_port(address.strip()))


def _account(name: str) -> str:
    return salted_hmac("workbench.sign_ins", name, algorithm="sha256").hexdigest()


def _without_port(address: str) -> str:
    """Some proxies write 192.0.2.1:4711 or [2001:db8::1]:4711."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


def _network(address: str) -> str:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return UNKNOWN
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.IPv6Network((int(found), 64), strict=False))
