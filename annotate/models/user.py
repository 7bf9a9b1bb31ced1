"""Accounts; our own class from the start, because Django cannot exchange it later."""

from django.contrib.auth.models import AbstractUser

IMPORTED = "import:"
"""Begins the user name of an annotator known from an import only. Django's validator allows no login a colon."""


class User(AbstractUser):
    """A person who signs in, or (inactive) an annotator known from an import only."""

    @property
    def shown_name(self) -> str:
        """The user name; of an imported annotator the name in the file."""
        return shown_name(self.username, self.first_name)

    def __str__(self) -> str:
        return self.get_full_name() or self.username


def shown_name(username: str, first_name: str) -> str:
    return first_name if username.startswith(IMPORTED) else username
