"""The whole suite in one call: the same numbers as one by one, reasons instead of NaN, and quick."""

import json
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given

from annotate.statistics.counts import count_matrix
from annotate.statistics.estimate import Estimate, Reason, Undefined
from annotate.statistics.fleiss_kappa import fleiss_kappa
from annotate.statistics.gwet_ac import gwet_ac1
from annotate.statistics.judgments import Judgments
from annotate.statistics.krippendorff_alpha import krippendorff_alpha
from annotate.statistics.suite import AgreementSuite, agreement_suite

from . import published
from .same import same
from .tables import judgments_of, raters_by_items

FEW = 20


@pytest.mark.parametrize("name", ["comparisons_convarg", "comparisons_mqm_zhen"])
def test_the_suite_of_a_comparison_file_has_the_stated_values(name: str) -> None:
    entry = published.entry(name)
    stated, tolerance = entry["recomputed"], entry["tol"]
    suite = agreement_suite(published.judgments_of_file(entry["file"]), replicates=200)
    assert (suite.n_items, suite.n_judgments, suite.n_annotators) == (
        stated["rows"],
        stated["annotations"],
        stated["annotators"],
    )
    assert suite.raw_agreement["ties_as_class"].value == pytest.approx(stated["mean_pairwise_agreement"], abs=tolerance)
    assert suite.krippendorff_alpha["nominal"].value == pytest.approx(stated["alpha_nominal"], abs=tolerance)
    assert suite.krippendorff_alpha["ordinal"].value == pytest.approx(stated["alpha_ordinal_a_tie_b"], abs=tolerance)
    if "fleiss_kappa" in stated:
        assert suite.fleiss_kappa.value == pytest.approx(stated["fleiss_kappa"], abs=tolerance)
    assert suite.raw_agreement["ties_as_class"].chance == pytest.approx(
        sum(count**2 for count in stated["choices"].values()) / stated["annotations"] ** 2
    )


@given(raters_by_items())
def test_the_suite_is_the_coefficients_one_by_one_and_goes_to_json(table: np.ndarray) -> None:
    judgments = judgments_of(table)
    counts = count_matrix(judgments)
    suite = agreement_suite(judgments, least_common=2, replicates=FEW)
    assert same(suite.fleiss_kappa, fleiss_kappa(counts, replicates=FEW))
    assert same(suite.gwet_ac1, gwet_ac1(counts, replicates=FEW))
    assert same(suite.krippendorff_alpha["ordinal"], krippendorff_alpha(counts, metric="ordinal", replicates=FEW))
    assert "NaN" not in json.dumps(suite.as_json())


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ([], Reason.NO_JUDGMENTS),
        ([(1, "ann", 0), (2, "ann", 2)], Reason.NO_OVERLAP),
        ([(1, "ann", 0), (1, "ben", 2)], Reason.ONE_ITEM),
        ([(1, "ann", 0), (1, "ben", 0), (2, "ann", 0), (2, "ben", 0)], Reason.ONE_CATEGORY),
        ([(1, "ann", 1), (1, "ben", 1), (2, "ann", 1), (2, "ben", 1)], Reason.ONE_CATEGORY),
    ],
)
def test_one_annotator_one_item_one_label_or_only_ties_give_reasons(cells: list, reason: Reason) -> None:
    suite = agreement_suite(Judgments.from_arrays(*(zip(*cells, strict=True) if cells else ([], [], []))))
    corrected = [*suite.krippendorff_alpha.values(), suite.fleiss_kappa, suite.gwet_ac1, suite.gwet_ac2]
    assert corrected == [Undefined(reason)] * len(corrected)
    assert suite.pairs == []
    json.dumps(suite.as_json(), allow_nan=False)


def test_only_ties_have_a_raw_agreement_as_a_class_and_none_without_ties() -> None:
    suite = agreement_suite(Judgments.from_arrays([1, 1, 2, 2], list("abab"), [1, 1, 1, 1]))
    assert isinstance(suite.raw_agreement["ties_as_class"], Estimate)
    assert suite.raw_agreement["ties_excluded"] == Undefined(Reason.NO_DECIDED_PAIR)


def test_a_million_judgments_take_seconds() -> None:
    suite, seconds = _timed_suite(items=200_000, annotators=12)
    assert suite.fleiss_kappa.n == 200_000
    assert len(suite.pairs) == 66
    assert seconds < 20


def _timed_suite(items: int, annotators: int) -> tuple[AgreementSuite, float]:
    random = np.random.default_rng(2)
    who = np.argsort(random.random((items, annotators)), axis=1)[:, :5].ravel()
    truth = np.repeat(random.integers(0, 3, items), 5)
    labels = np.where(random.random(items * 5) < 0.6, truth, random.integers(0, 3, items * 5))
    judgments = Judgments.from_arrays(np.repeat(np.arange(items), 5), who, labels)
    start = perf_counter()
    return agreement_suite(judgments), perf_counter() - start
