"""One style for every figure of a paper: sizes, fonts, and a colour and a marker per method.

Six of the sixteen colours are Okabe and Ito's; the others were chosen so that any two differ for
protanopes and deuteranopes too (tests/report/test_figures.py computes by how much). A marker goes
with each, so a figure also reads in grey, and a dash with each line. Colour and marker stand in a
method's card in conf/method, and the dash follows from them, so a method looks the same in every
figure and on every page, whichever others are there, and a new one changes none.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsig_bench.api.files import write_whole
from fsig_bench.api.plain import Json
from fsig_bench.pictures.colours import INK
from fsig_bench.report.records import method_cards

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fsig_bench.report.inference.units import Units

COLUMN, PAGE = 3.3, 6.9  # widths in inches: one column, both columns
GREY = "#808080"
EDGE = "#333333"  # around markers: some colours are light
PALETTE = (
    *("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#4b3c00", "#00f096"),
    *("#2d2d96", "#780069", "#004b3c", "#a5e1d2", "#9687ff", "#a55a3c", "#c3e15a", "#c3a55a"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "h", "<", "X", ">", "p")
DASHES: tuple[tuple[float, ...], ...] = ((), (5, 2), (1.5, 1.5), (6, 2, 1.5, 2))  # line widths
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
CONTROL_MARKERS = ("x", "+", "*", "1", "2", "3")
RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same bytes everywhere
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#444444",
    "axes.labelcolor": INK,
    "text.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.0,
    "lines.markersize": 5.5,
    "pdf.fonttype": 42,  # text stays text
    "svg.fonttype": "path",
    "svg.hashsalt": "fsig_bench",  # element ids repeat
}


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a method is drawn."""

    colour: str
    marker: str
    control: bool

    @property
    def dash(self) -> tuple[float, ...]:
        """Of a line: lengths of dashes and gaps in line widths; () is an unbroken line."""
        if self.control:
            return (1, 2)
        known = self.colour in PALETTE
        place = PALETTE.index(self.colour) if known else int(self.colour[1:], 16)
        return DASHES[(place + ord(self.marker[0])) % len(DASHES)]

    @property
    def line_style(self) -> Any:  # Any: matplotlib takes a word or a pair
        """The dash as matplotlib takes it."""
        return (0, self.dash) if self.dash else "-"


def is_control(card: Json) -> bool:
    """Whether a card is a control's; a card that inherits its kind is a method's."""
    return bool(card.get("kind") == "control")


def own_look(card: Json) -> tuple[str, str] | None:
    """Colour and marker of a card; None where it does not have both. Controls are grey.

    Raises:
        ValueError: the colour is not #rrggbb.
    """
    colour, marker = card.get("colour"), card.get("marker")
    if is_control(card):
        colour = GREY
    if colour is None or marker is None:
        return None
    if not COLOUR.fullmatch(str(colour)):
        raise ValueError(f"card.colour={colour!r} of {card.get('name')}: give it as '#rrggbb'")
    return str(colour), str(marker)


def look(method: str, card: Json) -> Look:
    """A method's colour and marker.

    Those of its card in conf/method; for a method from outside those of its own card, unless it
    has inherited them from a method here, else two that follow from its name.
    """
    here = method_cards()
    taken = {pair for name, other in here.items() if (pair := own_look(other)) and name != method}
    found = own_look(here[method]) if method in here else own_look(card)
    if found is None or (method not in here and found in taken):
        place = int(hashlib.sha256(method.encode()).hexdigest()[:8], 16)
        colours, markers = (
            (PALETTE, MARKERS) if not is_control(card) else ((GREY,), CONTROL_MARKERS)
        )
        # 16 and 11 share no divisor: 176 pairs before one comes again.
        found = colours[place % len(colours)], markers[place % len(markers)]
    return Look(colour=found[0], marker=found[1], control=is_control(card))


def drawing_order(cards: Mapping[str, Json]) -> list[str]:
    """Methods before controls, each in their fixed order; `cards` by method name."""
    place = {name: n for n, name in enumerate(method_cards())}
    return sorted(cards, key=lambda m: (is_control(cards[m]), place.get(m, len(place)), m))


@contextmanager
def style() -> Iterator[None]:
    """Inside, everything drawn and saved has this module's look."""
    import matplotlib

    with matplotlib.rc_context(RC):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in inches, without pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def method_legend(
    figure: Figure, cards: Mapping[str, Json], columns: int, *, lines: bool = False
) -> None:
    """Below the figure: every method's label with its colour and marker, and its line if drawn."""
    from matplotlib.lines import Line2D

    handles = []
    for name in drawing_order(cards):
        drawn = look(name, cards[name])
        label = label_of(cards[name])
        mark: dict[str, Any] = {"marker": drawn.marker, "color": drawn.colour, "label": label}
        mark |= {
            "mec": drawn.colour if drawn.control else EDGE,
            "mew": 0.9 if drawn.control else 0.3,
        }
        handles.append(Line2D([], [], ls=drawn.line_style if lines else "", **mark))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        handletextpad=0.2,
        columnspacing=1.2,
    )


def draw_curve(axes: Axes, line: Sequence[tuple[float, Units]], drawn: Look) -> None:
    """A method's values over x, with standard deviations as bars where there are several units."""
    axes.errorbar(
        [x for x, _ in line],
        [s.mean for _, s in line],
        yerr=[math.nan if s.std is None else s.std for _, s in line],  # one unit: no bar
        marker=drawn.marker,
        color=drawn.colour,
        ls=drawn.line_style,
        mec=drawn.colour if drawn.control else EDGE,
        mew=0.9 if drawn.control else 0.3,
        ms=3.5,
        elinewidth=0.7,
    )


def label_of(card: Json) -> str:
    """A method's name in figures."""
    return str(card["label"])


def save(figure: Figure, stem: Path) -> list[Path]:
    """Writes stem.pdf and stem.svg; the same figure gives the same bytes."""
    paths = []
    blank: Sequence[tuple[str, dict[str, None]]] = (
        ("pdf", {"CreationDate": None, "Producer": None, "Creator": None}),
        ("svg", {"Date": None, "Creator": None}),
    )
    for kind, metadata in blank:
        path = stem.with_name(f"{stem.name}.{kind}")
        write_whole(path, lambda p, k=kind, m=metadata: figure.savefig(p, format=k, metadata=m))  # type: ignore[misc]
        paths.append(path)
    return paths
