"""How stills look: as on the page, in a paper's column, on a slide. Loads no matplotlib."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dominoes.errors import OutputError

CENTIMETRES = 2.54  # in an inch
# Type 42 embeds a font as it is; camera-ready checks refuse Type 3. Equal charts are equal bytes, so ids of SVG are not random.
FONTS: dict[Any, Any] = {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.hashsalt": "dominoes"}
# Widths of a column and of a page as journals and conferences have them, in centimetres.
WIDTHS = {"single": 8.5, "double": 17.4}
NARROWEST, WIDEST = 4.0, 60.0
# Height of the type area of an A4 page, in centimetres.
PAGE = 24.0


@dataclass(frozen=True)
class Style:
    """How large things are on paper or on a wall.

    Attributes:
        size: of the type, in points; small: of ticks and legends. line: width of a curve, in points. marker: of a point.
        titled: whether the chart's title stands above it; a caption says it in a paper.
        panel: least width and height of a panel, in centimetres.
    """

    size: float
    small: float
    line: float
    marker: float
    titled: bool
    panel: tuple[float, float]

    def settings(self) -> dict[Any, Any]:
        """What matplotlib's `rc_context` takes."""
        sizes = {"font.size": self.size, "axes.titlesize": self.size, "axes.labelsize": self.size, "legend.fontsize": self.small}
        sizes |= {"xtick.labelsize": self.small, "ytick.labelsize": self.small, "lines.linewidth": self.line}
        return {**sizes, "lines.markersize": self.marker, **FONTS}


STYLES = {
    "screen": Style(10, 8.3, 1.5, 4, True, (12.7, 8.6)),
    "paper": Style(8, 7, 1.1, 2.5, False, (6.5, 4.6)),
    "talk": Style(14, 12, 2.5, 6, True, (12.0, 9.0)),
}


def known_width(width: str | float | None) -> float | None:
    """Centimetres of a width, None for none. Raises OutputError."""
    if width is None:
        return None
    try:
        centimetres = WIDTHS[width] if isinstance(width, str) and width in WIDTHS else float(width)
    except ValueError:
        centimetres = float("nan")
    if not NARROWEST <= centimetres <= WIDEST:
        raise OutputError(f"--width {width}: expected {', '.join(WIDTHS)} or centimetres from {NARROWEST:g} to {WIDEST:g}")
    return centimetres


def known_style(name: str) -> Style:
    """A style by its name. Raises OutputError."""
    if name not in STYLES:
        raise OutputError(f"--style {name}: expected {', '.join(STYLES)}")
    return STYLES[name]
