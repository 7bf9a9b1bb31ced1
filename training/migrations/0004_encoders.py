from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("training", "0003_words_of_events")]

    operations = [
        migrations.AlterField(
            model_name="artifact",
            name="task",
            field=models.CharField(
                choices=[("policy", "Policy"), ("reward", "Reward model"), ("encoder", "Encoder")],
                default="policy",
                max_length=8,
                verbose_name="task",
            ),
        ),
    ]
