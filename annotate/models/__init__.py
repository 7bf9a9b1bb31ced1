"""Tables of the left wing, one file a topic."""

from annotate.models.adjudication import Adjudication, BadReason, Verdict
from annotate.models.agreement import AgreementSummary
from annotate.models.comparison import Batch, Choice, Comparison, votes_column
from annotate.models.demonstration import Demonstration, DemonstrationSet
from annotate.models.feedback import Feedback, FeedbackSet
from annotate.models.first_answer import FirstAnswer
from annotate.models.guideline import GuidelineDraft, GuidelineReading, GuidelineVersion
from annotate.models.judging import ASKED, Assignment, AssignmentState, Degree, Judgment, SkipReason
from annotate.models.project import Degrees, Membership, Project, Role
from annotate.models.prompt import Prompt, Response
from annotate.models.snapshot import Aggregation, ItemKind, Snapshot, SnapshotItem, Split
from annotate.models.user import IMPORTED, User, shown_name

__all__ = [
    "ASKED",
    "IMPORTED",
    "Adjudication",
    "Aggregation",
    "AgreementSummary",
    "Assignment",
    "AssignmentState",
    "BadReason",
    "Batch",
    "Choice",
    "Comparison",
    "Degree",
    "Degrees",
    "Demonstration",
    "DemonstrationSet",
    "Feedback",
    "FeedbackSet",
    "FirstAnswer",
    "GuidelineDraft",
    "GuidelineReading",
    "GuidelineVersion",
    "ItemKind",
    "Judgment",
    "Membership",
    "Project",
    "Prompt",
    "Response",
    "Role",
    "SkipReason",
    "Snapshot",
    "SnapshotItem",
    "Split",
    "User",
    "Verdict",
    "shown_name",
    "votes_column",
]
