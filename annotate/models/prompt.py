"""Prompts (lists of chat messages) and the responses to them."""

from typing import Any, Self

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Count, Min

from annotate.models.project import Project


class HasTag(models.Func):
    """Whether a JSON list of texts holds one. SQLite has no `contains` for JSON, and texts that hold the list as a text
    differ in how they are escaped."""

    output_field = models.BooleanField()

    def as_postgresql(self, compiler: Any, connection: BaseDatabaseWrapper, **context: Any) -> tuple[str, list[Any]]:
        return self.as_sql(compiler, connection, template="jsonb_exists(%(expressions)s)", **context)

    def as_sqlite(self, compiler: Any, connection: BaseDatabaseWrapper, **context: Any) -> tuple[str, list[Any]]:
        tags, tag = (compiler.compile(each) for each in self.get_source_expressions())
        found = f"EXISTS(SELECT 1 FROM json_each({tags[0]}) WHERE json_each.value = {tag[0]})"
        return found, [*tags[1], *tag[1]]


class PromptQuerySet(models.QuerySet["Prompt"]):
    def fresh(self) -> Self:
        """Never put before an annotator."""
        return self.filter(comparisons__isnull=True)

    def tagged(self, tag: str) -> Self:
        return self.filter(HasTag("tags", models.Value(tag))) if _is_storable(tag) else self.none()

    def in_language(self, language: str) -> Self:
        return self.filter(language=language) if _is_storable(language) else self.none()

    def tag_counts(self, most: int) -> list[tuple[str, int]]:
        """The tags that most prompts have, and how many have each; of those as frequent the one that was first."""
        connection = connections[self.db]
        rows, params = self.order_by().values("id", "tags").query.get_compiler(connection=connection).as_sql()
        each = "jsonb_array_elements_text(tags)" if connection.vendor == "postgresql" else "json_each(tags)"
        asked = (
            f"SELECT tag.value, COUNT(*) FROM ({rows}) AS prompts CROSS JOIN {each} AS tag"
            " GROUP BY tag.value ORDER BY COUNT(*) DESC, MIN(prompts.id), tag.value LIMIT %s"
        )
        with connection.cursor() as cursor:
            cursor.execute(asked, [*params, most])
            return cursor.fetchall()

    def language_counts(self) -> list[tuple[str, int]]:
        """As `tag_counts`, of those that name their language."""
        rows = self.exclude(language="").order_by().values("language").annotate(n=Count("pk"), first=Min("pk"))
        return list(rows.order_by("-n", "first").values_list("language", "n"))


def _is_storable(text: str) -> bool:
    """PostgreSQL has no NUL in a text, and raises where it is asked for one."""
    return "\x00" not in text


class Prompt(models.Model):
    """`messages` is a list of {"role": "system"|"user"|"assistant", "content": str}, ending with a user turn."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="prompts")
    key = models.CharField(max_length=200)
    content_hash = models.CharField(max_length=64)
    messages = models.JSONField()
    tags = models.JSONField(default=list, blank=True)
    language = models.CharField(max_length=16, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = PromptQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "key"], name="prompt_key_once"),
            models.UniqueConstraint(fields=["project", "content_hash"], name="prompt_content_once"),
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def last_turn(self) -> str:
        return self.messages[-1]["content"] if self.messages else ""


class Response(models.Model):
    """One completion of a prompt; `source` (a model, an import) is never shown while judging."""

    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="responses")
    text = models.TextField(blank=True)
    source = models.CharField(max_length=200)
    # Makes storing idempotent: the same sample of the same run arrives once.
    key = models.CharField(max_length=200)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["prompt", "key"], name="response_key_once")]

    def __str__(self) -> str:
        return f"{self.prompt_id}/{self.key}"
