"""What the workbench itself keeps: sign-ins that failed."""

from django.db import models
from django.utils import timezone


class FailedSignIn(models.Model):
    """One that failed, or is under way. In the database, because several web processes count together."""

    address = models.CharField(max_length=50)
    # A keyed hash: people type their password where the name belongs.
    account = models.CharField(max_length=64)
    at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        indexes = [models.Index(fields=["address", "at"], name="failed_sign_ins_of_address")]

    def __str__(self) -> str:
        return f"{self.address}, {self.at:%Y-%m-%d %H:%M:%S}"
