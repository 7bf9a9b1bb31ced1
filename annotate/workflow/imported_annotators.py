"""Annotators known from an import: inactive members of the project, never logins."""

import hashlib
from collections.abc import Iterable

from django.contrib.auth.hashers import make_password

from annotate.models import IMPORTED, Membership, Project, Role, User

LONGEST_USERNAME = 150


def imported_username(slug: str, name: str) -> str:
    """The account of an annotator who is called `name` in the files of this project.

    No login has a colon or # in its name (Django's validator), so none can be taken for it. A name too long for an
    account is hashed.
    """
    username = f"{IMPORTED}{slug}:{name}"
    return username if len(username) <= LONGEST_USERNAME else f"{IMPORTED}{slug}#{_digest(name)}"


def annotators_named(project: Project, names: Iterable[str]) -> tuple[dict[str, int], int]:
    """The accounts (ids) by name, and how many of them are new. Each is a member, inactive, without a password."""
    usernames = {name: imported_username(project.slug, name) for name in names}
    found = _known(usernames)
    new = [
        User(username=username, first_name=name, is_active=False, password=make_password(None))
        for name, username in usernames.items()
        if username not in found
    ]
    User.objects.bulk_create(new)
    found |= {user.username: user.pk for user in new}
    members = set(project.memberships.filter(user__in=found.values()).values_list("user_id", flat=True))
    outside = [pk for pk in found.values() if pk not in members]
    Membership.objects.bulk_create([Membership(project=project, user_id=pk, role=Role.ANNOTATOR) for pk in outside])
    return {name: found[username] for name, username in usernames.items()}, len(new)


def _known(usernames: dict[str, str]) -> dict[str, int]:
    return dict(User.objects.filter(username__in=usernames.values()).values_list("username", "pk"))


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]
