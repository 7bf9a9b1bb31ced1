from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("training", "0014_names_in_the_admin"),
    ]

    operations = [
        migrations.AddField(
            model_name="round",
            name="score_samples",
            field=models.BooleanField(default=False, verbose_name="samples are scored"),
        ),
    ]
