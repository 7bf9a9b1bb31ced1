"""Agreement of a project: reads the counted judgments and asks `annotate/statistics/`."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from annotate.models import Project, User, shown_name
from annotate.statistics.against_reference import AgainstReference
from annotate.statistics.estimate import Outcome
from annotate.statistics.judgments import Judgments
from annotate.statistics.kappa_of_pairs import LEAST_COMMON, PairKappa
from annotate.statistics.leave_one_out import leave_one_out
from annotate.statistics.suite import AgreementSuite, agreement_suite
from annotate.workflow.agreement_adjudicated import AgainstFinalWords, against_final_words
from annotate.workflow.agreement_degrees import alpha_of_degrees
from annotate.workflow.agreement_groups import groups_of
from annotate.workflow.judgment_columns import JudgmentColumns, read_columns

BOOTSTRAP = 1000
# Up to so many people every two of them are listed, however little they have in common.
FEW_ANNOTATORS = 30
# Each pair has a bootstrap of its own: seconds for so many, minutes for all pairs of a crowd.
MOST_PAIRS = 2000


@dataclass(frozen=True)
class AgreementReport:
    """The whole project, and its groups if a breakdown was asked for: suites, or by annotator each against the others.

    Every coefficient is an `Estimate` with interval and n (items), or `Undefined` with its reason; `degrees` is None
    where nobody said by how much a response is better.
    """

    suite: AgreementSuite
    names: dict[int, str]
    adjudicated: AgainstFinalWords
    degrees: Outcome | None = None
    by: str = ""
    groups: list[tuple[str | None, AgreementSuite]] = field(default_factory=list)
    annotators: list[AgainstReference] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        degrees = {"alpha_of_degrees": self.degrees.as_json()} if self.degrees else {}
        whole = {**self._suite_json(self.suite), **degrees, **self.adjudicated.as_json(self.names)}
        if not self.by:
            return whole
        groups = [{"group": name, **self._suite_json(suite)} for name, suite in self.groups]
        people = [self._annotator_json(each) for each in self.annotators]
        return {**whole, "by": self.by, "groups": groups or people}

    def _suite_json(self, suite: AgreementSuite) -> dict[str, Any]:
        return {**suite.as_json(), "cohen_kappa": [self._pair_json(pair) for pair in suite.pairs]}

    def _pair_json(self, pair: PairKappa) -> dict[str, Any]:
        return {**pair.as_json(), "annotators": [self.names[pair.first], self.names[pair.second]]}

    def _annotator_json(self, each: AgainstReference) -> dict[str, Any]:
        """`leave_one_out`: how often this person said what most of the others said; `adjudicated`: the final word."""
        return {
            "group": self.names[each.annotator],
            "n_judgments": each.n_judgments,
            "leave_one_out": each.raw_agreement.as_json(),
            "cohen_kappa_with_others": each.kappa.as_json(),
            "adjudicated": self.adjudicated.share_of(each.annotator).as_json(),
        }


def agreement_of(*, project: Project, by: str = "", bootstrap: int = BOOTSTRAP) -> AgreementReport:
    """Project-wide, for every two annotators, and by one of BREAKDOWNS, without surplus and retracted judgments."""
    columns = read_columns(project, weeks=by == "week")
    judgments = columns.judgments()
    suite, names = suite_of(judgments, bootstrap), names_of(judgments)
    adjudicated = against_final_words(project, columns, replicates=bootstrap)
    degrees = alpha_of_degrees(columns, replicates=bootstrap)
    if by == "annotator":
        people = leave_one_out(judgments, replicates=bootstrap).annotators
        return AgreementReport(suite, names, adjudicated, degrees, by, annotators=people)
    groups = breakdown(project, columns, by, bootstrap) if by else []
    return AgreementReport(suite, names, adjudicated, degrees, by, groups)


def breakdown(
    project: Project, columns: JudgmentColumns, by: str, bootstrap: int = BOOTSTRAP
) -> list[tuple[str | None, AgreementSuite]]:
    return [
        (name, suite_of(columns.where(mask).judgments(), bootstrap)) for name, mask in groups_of(project, columns, by)
    ]


def suite_of(judgments: Judgments, bootstrap: int = BOOTSTRAP) -> AgreementSuite:
    few = judgments.annotators.size <= FEW_ANNOTATORS
    least = 1 if few else LEAST_COMMON
    return agreement_suite(judgments, least_common=least, most_pairs=MOST_PAIRS, replicates=bootstrap)


def names_of(judgments: Judgments) -> dict[int, str]:
    """As shown; somebody whose shown name another one has too goes by the user name, which is nobody else's."""
    rows = User.objects.in_bulk(judgments.annotators.tolist())
    names = {pk: shown_name(user.username, user.first_name) for pk, user in rows.items()}
    times = Counter(names.values())
    return {pk: name if times[name] == 1 else rows[pk].username for pk, name in names.items()}
