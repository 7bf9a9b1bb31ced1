"""fp32 products by oneDNN: the same numbers as torch's own, in every place where a model needs one, and undone."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from training.ml import products

pytestmark = pytest.mark.not_db
SIZES = st.sampled_from([1, 3, 4, 31, 32, 64, 200])
CPU = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """On any processor, whatever the tests before have begun; also for small products."""
    before = products.as_torch_comes()
    monkeypatch.setattr(products, "_worth_it", lambda: True)
    monkeypatch.setattr(products, "_output_layers_only", lambda: False)
    monkeypatch.setattr(products, "MULTIPLICATIONS", 0)
    assert products.by_onednn()
    yield
    products.as_torch_comes()
    monkeypatch.undo()
    if before:
        products.by_onednn()


def by_hand(left: Tensor, right: Tensor) -> Tensor:
    return left.double() @ right.double()


def close(found: Tensor, exact: Tensor) -> bool:
    """As far as fp32 goes: sums of as many products as there are here."""
    return torch.allclose(found.double(), exact, rtol=1e-5, atol=1e-5 * max(exact.detach().abs().max().item(), 1.0))


@settings(deadline=None, max_examples=150)
@given(rows=SIZES, inner=SIZES, columns=SIZES, left_turned=st.booleans(), right_turned=st.booleans())
def test_any_layout_gives_the_product(
    rows: int, inner: int, columns: int, left_turned: bool, right_turned: bool
) -> None:
    left = torch.randn(inner, rows).t() if left_turned else torch.randn(rows, inner)
    right = torch.randn(columns, inner).t() if right_turned else torch.randn(inner, columns)
    added = torch.randn(columns)
    exact = by_hand(left, right)
    assert close(products._mm(CPU, left, right), exact)
    assert close(products._addmm(CPU, added, left, right), exact + added.double())
    assert close(products._addmm(CPU, added, left, right, beta=2, alpha=0.5), exact / 2 + 2 * added.double())
    assert close(products._addmm(CPU, added[:1], left, right), exact + added[0].double())
    same, every_second = added[:1].expand(columns), added.repeat_interleave(2)[::2]
    assert close(products._addmm(CPU, same, left, right), exact + added[0].double())
    assert close(products._addmm(CPU, every_second, left, right), exact + added.double())


@pytest.fixture(autouse=True)
def _small_ones_too(replaced: None) -> None:
    pass


def test_what_is_no_whole_matrix_is_left_to_torch() -> None:
    wide, long = torch.randn(64, 128), torch.randn(256, 64)
    assert close(wide[:, ::2] @ long[::4], by_hand(wide[:, ::2], long[::4]))  # steps of two in memory
    one = torch.randn(1, 64).expand(64, 64)
    assert close(one @ one, by_hand(one, one))
    whole = torch.randint(0, 9, (64, 64))
    assert torch.equal(whole @ whole, (whole.double() @ whole.double()).long())
    double = torch.randn(64, 64, dtype=torch.float64)
    assert (double @ double).dtype == torch.float64
    assert (torch.randn(0, 64) @ torch.randn(64, 64)).shape == (0, 64)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        torch.randn(64, 64) @ torch.randn(65, 64)
    with pytest.raises(RuntimeError):
        torch.randn(64, 64) @ torch.randn(64, 64, dtype=torch.float64)
    with pytest.raises(RuntimeError):
        nn.functional.linear(torch.randn(64, 64), torch.randn(64, 64), torch.randn(63))


@pytest.mark.parametrize("bias", [False, True])
def test_a_layer_learns_what_it_would_have_learned(bias: bool) -> None:
    layer = nn.Linear(96, 160, bias=bias)
    twin = copy.deepcopy(layer).double()
    x = torch.randn(3, 40, 96, requires_grad=True)
    exact = x.detach().double().requires_grad_()
    found = layer(x)
    (found.square().mean()).backward()
    twin(exact).square().mean().backward()
    assert close(found, twin(exact))
    for one, other in zip([x, *layer.parameters()], [exact, *twin.parameters()], strict=True):
        assert torch.allclose(one.grad.double(), other.grad, rtol=1e-4, atol=1e-7)


def test_it_is_really_made_there_and_torch_has_its_own_again_afterwards() -> None:
    one, bias = torch.randn(64, 64), torch.randn(64)
    ways = [lambda: one @ one, lambda: one.t() @ one, lambda: nn.functional.linear(one, one, bias)]

    def made_there() -> int:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
            for way in ways:
                way()
        return sum(event.count for event in seen.key_averages() if event.key == "mkldnn::_linear_pointwise")

    assert made_there() == len(ways)
    assert products.by_onednn()  # a second time changes nothing
    assert products.as_torch_comes()
    assert made_there() == 0
    assert not products.as_torch_comes()


@pytest.mark.parametrize(
    ("vendor", "capability", "expected"),
    [
        ("AuthenticAMD", "AVX512", True),
        ("AuthenticAMD", "AVX2", True),
        ("AuthenticAMD", "DEFAULT", False),
        ("GenuineIntel", "AVX512", False),
        ("GenuineIntel", "AVX2", False),
    ],
)
def test_the_processor_decides(monkeypatch: pytest.MonkeyPatch, vendor: str, capability: str, expected: bool) -> None:
    monkeypatch.undo()  # what the fixture has set
    monkeypatch.setattr(products, "maker", lambda: vendor)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert products._worth_it.__wrapped__() is expected
    assert products._output_layers_only.__wrapped__() is (capability != "AVX512")


@pytest.mark.parametrize(
    ("rows", "inner", "columns", "expected", "with_avx2"),
    [
        (4, 576, 1536, True, False),
        (3, 576, 1536, False, False),
        (1, 576, 49152, True, True),  # the output layer, of one text
        (256, 576, 49152, True, True),
        (257, 576, 49152, True, False),
        (64, 64, 64, False, False),
        (1024, 576, 16, False, False),  # LoRA's
        (1024, 16, 576, False, False),
        (1024, 576, 576, True, False),
    ],
)
def test_only_large_products_are_taken(
    monkeypatch: pytest.MonkeyPatch, rows: int, inner: int, columns: int, expected: bool, with_avx2: bool
) -> None:
    monkeypatch.undo()  # the fixture's sizes
    left, right = torch.empty(rows, inner), torch.empty(columns, inner).t()
    turned = torch.empty(inner, columns)
    for outputs_only, wanted in ((False, expected), (True, with_avx2)):
        monkeypatch.setattr(products, "_output_layers_only", lambda only=outputs_only: only)
        assert products._is_large(left, right) is wanted
        assert not products._is_large(torch.empty(inner, 32).t(), turned)  # it would be copied
    assert not products._is_large(left, turned)  # with AVX2 only as an output layer's weight lies
