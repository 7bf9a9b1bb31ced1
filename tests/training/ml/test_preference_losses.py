"""The losses of the DPO family against closed forms, computed in float64 by an independent program, to 1e-6."""

from __future__ import annotations

import pytest
import torch

from tests.annotate.statistics.published import entry
from training.ml import preference_losses as losses


def vector(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


MARGINS = vector(0.1, -0.25, 0.15, -0.4)
MEANS = vector(-0.5, -2.0, -0.01), vector(-1.5, -0.25, -3.0)


def test_the_published_vectors_of_dpo_cdpo_ipo_and_hinge() -> None:
    known = entry("dpo_vectors")
    given, expected = known["inputs"], known["recomputed"]
    names = ("policy_chosen_logps", "policy_rejected_logps", "ref_chosen_logps", "ref_rejected_logps")
    chosen, rejected, start_chosen, start_rejected = (vector(*given[name]) for name in names)
    difference = (chosen - start_chosen) - (rejected - start_rejected)
    margin = given["beta"] * difference
    found = {
        "logit_margin": difference,
        "dpo_sigmoid": losses.logistic(margin),
        "dpo_label_smoothing_0.1": losses.smoothed(losses.logistic, margin, 0.1),
        "ipo": losses.squared(difference, given["beta"]),
        "hinge": losses.hinge(margin),
    }
    for name, values in found.items():
        assert values.tolist() == pytest.approx(expected[name], abs=1e-6), name


def test_robust_dpo_is_the_closed_form() -> None:
    found = losses.robust(losses.logistic, MARGINS, 0.2).tolist()
    assert found == pytest.approx([0.611063327, 0.909272753, 0.570957048, 1.046348586], abs=1e-6)


@pytest.mark.parametrize("loss", [losses.logistic, losses.hinge])
def test_over_flipped_labels_robust_dpo_is_the_loss_of_the_true_ones(loss: losses.Loss) -> None:
    kept, turned = losses.robust(loss, MARGINS, 0.3), losses.robust(loss, -MARGINS, 0.3)
    assert (0.7 * kept + 0.3 * turned).tolist() == pytest.approx(loss(MARGINS).tolist(), abs=1e-6)
    assert not torch.allclose(kept, loss(MARGINS), atol=0.01)


def test_a_soft_label_weighs_both_directions_by_its_probability() -> None:
    found = losses.smoothed(losses.logistic, MARGINS, 1 - vector(1.0, 0.75, 0.6, 0.5)).tolist()
    assert found == pytest.approx([0.64439666, 0.76343942, 0.680957048, 0.713015252], abs=1e-6)


def test_simpo_asks_for_its_target_margin() -> None:
    found = losses.target_margin(MARGINS, 0.5).tolist()
    assert found == pytest.approx([0.913015252, 1.136871006, 0.883382155, 1.241153875], abs=1e-6)


def test_the_odds_ratio_of_orpo_is_the_closed_form() -> None:
    ratios = losses.log_odds_ratio(*MEANS).tolist()
    assert ratios == pytest.approx([1.680269671, -3.113278092, 7.549096838], abs=1e-6)
    found = losses.logistic(losses.log_odds_ratio(*MEANS)).tolist()
    assert found == pytest.approx([0.170859217, 3.156773299, 0.000526447], abs=1e-6)


def test_the_odds_of_a_certain_response_are_finite_and_so_are_their_gradients() -> None:
    chosen, rejected = torch.tensor([0.0, -1e-9, -90.0], requires_grad=True), torch.tensor([-90.0, -0.69314718, 0.0])
    losses.logistic(losses.log_odds_ratio(chosen, rejected)).sum().backward()
    assert torch.isfinite(losses.log_odds_ratio(chosen, rejected)).all()
    assert torch.isfinite(chosen.grad).all()


def test_kto_is_the_closed_form_for_desirable_and_undesirable_votes() -> None:
    rewards, desirable = vector(0.3, -0.2, 0.3, -0.4), torch.tensor([True, True, False, False])
    found = losses.prospect(rewards, vector(0.1)[0], desirable, (1.5, 0.5)).tolist()
    assert found == pytest.approx([0.675249004, 0.861663775, 0.274916999, 0.188770334], abs=1e-6)
