"""How long workers had a run, without what lay between them."""

from datetime import timedelta

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import DurationField, ExpressionWrapper, F


def take_over(apps: Apps, _editor: BaseDatabaseSchemaEditor) -> None:
    """Of runs that are over all is known that was: from the first start to the end."""
    runs = apps.get_model("training", "Run").objects
    whole = ExpressionWrapper(F("ended_at") - F("started_at"), output_field=DurationField())
    runs.filter(started_at__isnull=False).update(taken_at=F("started_at"))
    runs.filter(started_at__isnull=False, ended_at__isnull=False).update(worked=whole)


class Migration(migrations.Migration):
    dependencies = [("training", "0010_benches")]

    operations = [
        migrations.AddField("run", "taken_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("run", "worked", models.DurationField(default=timedelta)),
        migrations.RunPython(take_over, migrations.RunPython.noop),
    ]
