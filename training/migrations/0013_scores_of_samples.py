from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("training", "0011_time_of_workers")]

    operations = [
        migrations.AddField(model_name="sample", name="score", field=models.FloatField(blank=True, null=True)),
    ]
