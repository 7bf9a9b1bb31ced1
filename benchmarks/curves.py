"""Draws curves as a small SVG: one panel a figure, side by side, in grey and one colour."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

WIDTH, HEIGHT, COLUMNS = 280, 160, 3
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 30, 24  # of a panel, around its lines


def svg(panels: Sequence[tuple[str, Sequence[float]]], *, across: str) -> str:
    """`panels`: (title, values over steps 1, 2, ...); `across` names the horizontal axis."""
    rows = -(-len(panels) // COLUMNS)
    width, height = COLUMNS * WIDTH, rows * HEIGHT + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11" fill="#444"><rect width="{width}" height="{height}" fill="#fff"/>'
    ]
    for place, (title, values) in enumerate(panels):
        row, column = divmod(place, COLUMNS)
        parts.append(f'<g transform="translate({column * WIDTH} {row * HEIGHT})">{_panel(title, values)}</g>')
    parts.append(f'<text x="{width / 2:.0f}" y="{height - 5}" text-anchor="middle">{escape(across)}</text></svg>')
    return "\n".join(parts) + "\n"


def _panel(title: str, values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    room = (high - low) * 0.05 or 0.5
    low, high = low - room, high + room

    def x(step: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (step / max(len(values) - 1, 1))

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    points = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in enumerate(values))
    marks = "".join(
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(v):.1f}" y2="{y(v):.1f}" stroke="#ddd"/>'
        f'<text x="{LEFT - 5}" y="{y(v) + 4:.1f}" text-anchor="end">{v:.3g}</text>'
        for v in (low + room, (low + high) / 2, high - room)
    )
    ends = "".join(
        f'<text x="{x(step):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{step + 1}</text>'
        for step in {0, len(values) - 1}
    )
    heading = f'<text x="{LEFT}" y="{TOP - 12}" font-weight="bold">{escape(title)}</text>'
    return f'{heading}{marks}{ends}<polyline points="{points}" fill="none" stroke="#2563eb" stroke-width="1.5"/>'
