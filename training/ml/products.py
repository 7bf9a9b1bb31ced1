"""fp32 matrix products by oneDNN on AMD's processors: with AVX-512 all large ones, with AVX2 those of an output layer.

torch makes such products with MKL, which gets no more out of these processors than AVX2 gives. oneDNN, which torch
brings along for other precisions, does: on a Zen 5 it was 2.3 times as fast, in fp32, from some rows on. With AVX2 they
are about equal, but for few rows by the whole vocabulary (docs/performance.md).
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import torch
from torch import Tensor

from training.ml.processor import AMD, maker

# Smaller products are as fast by MKL, or faster; of those with fewer rows than ROWS all but an output layer's.
ROWS, COLUMNS, MULTIPLICATIONS, OF_FEW_ROWS = 4, 32, 1 << 21, 1 << 24
VOCABULARY, OF_A_STEP = 1 << 13, 256  # with AVX2, columns at least and rows at most
_replaced: list[Any] = []  # the registrations; they last as long as something holds them
_own: dict[str, Any] = {}  # what torch comes with


def by_onednn() -> bool:
    """From here on large fp32 products of this process are made by oneDNN, where that is worth it; whether it is so.
    May be called again."""
    if not _replaced and _worth_it():
        library = torch.library.Library("aten", "IMPL")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="(?s).*Overriding a previously registered kernel")
            for name, made in (("mm", _mm), ("addmm", _addmm)):
                _own[name] = torch.library.get_kernel(f"aten::{name}", "CPU")
                library.impl(name, made, "CPU", with_keyset=True)
        _replaced.append(library)
    return bool(_replaced)


def as_torch_comes() -> bool:
    """Undo it, for whoever compares with torch as it is; whether there was something to undo."""
    undone = bool(_replaced)
    while _replaced:
        _replaced.pop()._destroy()
    torch.backends.cuda.enable_cudnn_sdp(True)  # device.py
    return undone


@cache
def _worth_it() -> bool:
    there = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()
    return there and torch.backends.cpu.get_cpu_capability() in ("AVX512", "AVX2") and maker() == AMD


@cache
def _output_layers_only() -> bool:
    return torch.backends.cpu.get_cpu_capability() != "AVX512"


def _mm(keys: Any, left: Tensor, right: Tensor) -> Tensor:
    """left [rows, inner] times right [inner, columns]."""
    if _is_large(left, right):
        return torch.ops.mkldnn._linear_pointwise(left, right.t(), None, "none", [], "")
    return _own["mm"].call_boxed(keys, left, right)


def _addmm(keys: Any, added: Tensor, left: Tensor, right: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """A layer with a bias [columns]."""
    plain = added.shape == right.shape[1:] and added.is_contiguous() and added.dtype is torch.float32
    if plain and beta == alpha == 1 and _is_large(left, right):
        return torch.ops.mkldnn._linear_pointwise(left, right.t(), added, "none", [], "")
    return _own["addmm"].call_boxed(keys, added, left, right, beta=beta, alpha=alpha)


def _is_large(left: Tensor, right: Tensor) -> bool:
    if left.dtype is not torch.float32 or right.dtype is not torch.float32 or left.dim() != 2 or right.dim() != 2:
        return False
    (rows, inner), columns = left.shape, right.shape[1]
    if inner != right.shape[0]:
        return False  # torch's own kernel says what is wrong
    if _output_layers_only() and (columns < VOCABULARY or rows > OF_A_STEP or not right.t().is_contiguous()):
        return False
    work = rows * inner * columns
    if min(inner, columns) < COLUMNS or work <= (MULTIPLICATIONS if rows >= ROWS else OF_FEW_ROWS):
        return False
    # Laid out by columns, as in the gradient of a weight, it is copied first: that has to be worth it.
    if not left.is_contiguous() and rows < 2 * COLUMNS:
        return False
    return (left.is_contiguous() or left.t().is_contiguous()) and (right.is_contiguous() or right.t().is_contiguous())
