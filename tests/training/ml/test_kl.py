"""The KL estimators on tokens whose KL is known, and the controller of the coefficient."""

from __future__ import annotations

import math

import pytest
import torch

from training.ml.kl import KLControl, k1, k2, k3

P = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
Q = torch.tensor([0.4, 0.2, 0.2, 0.2], dtype=torch.float64)
KL = (P * (P / Q).log()).sum().item()


def test_the_estimators_by_hand() -> None:
    """p = 0.5, q = 0.25: log p/q = 0.6931472, its half square 0.2402265, q/p - 1 - log q/p = -0.5 + 0.6931472."""
    new, old = torch.tensor([math.log(0.5)]), torch.tensor([math.log(0.25)])
    assert k1(new, old).item() == pytest.approx(0.6931472, abs=1e-6)
    assert k2(new, old).item() == pytest.approx(0.2402265, abs=1e-6)
    assert k3(new, old).item() == pytest.approx(0.1931472, abs=1e-6)


def test_k1_and_k3_are_unbiased_exactly() -> None:
    """Their expectation over all tokens, without sampling."""
    for estimator in (k1, k3):
        assert (P * estimator(P.log(), Q.log())).sum().item() == pytest.approx(KL, abs=1e-12)


def test_k1_and_k3_are_unbiased_in_simulation_and_k2_is_not() -> None:
    draws = torch.multinomial(P, 200_000, replacement=True, generator=torch.Generator().manual_seed(0))
    estimates = {name: f(P.log()[draws], Q.log()[draws]) for name, f in (("k1", k1), ("k2", k2), ("k3", k3))}
    errors = {name: values.std().item() / math.sqrt(len(draws)) for name, values in estimates.items()}
    assert abs(estimates["k1"].mean().item() - KL) < 4 * errors["k1"]
    assert abs(estimates["k3"].mean().item() - KL) < 4 * errors["k3"]
    assert abs(estimates["k2"].mean().item() - KL) > 4 * errors["k2"]
    assert errors["k3"] < errors["k1"]
    assert errors["k1"] < 0.005  # a wide error would make the test above an empty one


def test_k3_is_never_negative_and_k1_is() -> None:
    assert (k3(P.log(), Q.log()) >= 0).all()
    assert (k1(P.log(), Q.log()) < 0).any()


def test_the_coefficient_rises_above_the_target_and_falls_below_it() -> None:
    control = KLControl(0.5, target=4.0)
    assert control.after(4.0).coefficient == 0.5
    assert control.after(4.4).coefficient == pytest.approx(0.5 * 1.01)
    assert control.after(3.6).coefficient == pytest.approx(0.5 * 0.99)


def test_the_error_is_clipped_on_both_sides() -> None:
    control = KLControl(0.5, target=4.0)
    assert control.after(400.0).coefficient == pytest.approx(0.51)
    assert control.after(-400.0).coefficient == pytest.approx(0.49)


def test_a_larger_gain_steers_faster() -> None:
    assert KLControl(0.5, target=4.0, gain=0.5).after(4.4).coefficient == pytest.approx(0.5 * 1.05)


def test_a_fixed_coefficient_stays() -> None:
    assert KLControl(0.5, target=None).after(400.0).coefficient == 0.5
