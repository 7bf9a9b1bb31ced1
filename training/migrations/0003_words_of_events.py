from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("training", "0002_reward_model_and_failure")]

    operations = [
        migrations.AddField(
            model_name="runevent",
            name="words",
            field=models.JSONField(blank=True, default=dict),
        ),
    ]
