from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("training", "0012_feedback")]

    operations = [
        migrations.AddField(model_name="sample", name="score", field=models.FloatField(blank=True, null=True)),
    ]
