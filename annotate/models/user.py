"""Accounts; our own class from the start, because Django cannot exchange it later."""

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """A person who signs in, or (inactive) an annotator known from an import only."""

    def __str__(self) -> str:
        return self.get_full_name() or self.username
