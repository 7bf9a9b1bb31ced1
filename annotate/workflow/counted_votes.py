"""What a snapshot is made of: the votes that count, and the versions of the guideline they were given under."""

from collections import defaultdict

from annotate.models import Judgment, Project
from annotate.workflow.final_words import Word
from annotate.workflow.snapshot_rows import Vote, pseudonym


def votes_of(project: Project) -> dict[int, list[Vote]]:
    """By comparison, everything that counts, in the order of the judgments."""
    rows = Judgment.objects.counted().filter(comparison__project=project)
    columns = rows.values_list("comparison_id", "id", "choice", "degree", "annotator__username")
    votes: dict[int, list[Vote]] = defaultdict(list)
    known: dict[str, str] = {}
    for comparison, judgment, choice, degree, username in columns.iterator(chunk_size=5000):
        if username not in known:
            known[username] = pseudonym(project.slug, username)
        votes[comparison].append(Vote(judgment, choice, known[username], degree))
    return votes


def guideline_numbers(project: Project, words: dict[int, Word]) -> list[int]:
    """Of the votes, and of the final words where these are asked for."""
    rows = Judgment.objects.counted().filter(comparison__project=project, guideline_version__isnull=False)
    numbers = set(rows.order_by().values_list("guideline_version__number", flat=True).distinct())
    return sorted(numbers | {word.version for word in words.values() if word.version is not None})
