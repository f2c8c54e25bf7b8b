"""What all figures share: sizes, colours, fonts, and how they become files.

Text is real text in SVG, nothing is read as formulas, ids never clash in a page that holds several
figures, and equal data give equal files. Global settings of matplotlib are neither used nor kept.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any
from xml.sax.saxutils import escape

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

from survbench.report.row import Row
from survbench.report.tables.caption import plain

FORMATS = ("svg", "png")
COLUMN, PAGE = 8.5 / 2.54, 17.5 / 2.54  # inches: a column and a page of a journal
DPI = 300
SMALL, NORMAL = 6.5, 7.5  # points
BESIDE = 36  # points that the labels of an axis take at its left

# Okabe & Ito, Color Universal Design, 2008: told apart by colour-blind readers
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
)
INK, GREY, PALE = "#000000", "#666666", "#C4C4C4"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1, 1)),
    (0, (5, 1.5, 1, 1.5)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (8, 2)),
)

_STYLE: Mapping[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same layout everywhere
    "font.size": NORMAL,
    "axes.titlesize": NORMAL,
    "axes.labelsize": NORMAL,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "text.parse_math": False,  # a name may hold dollar signs
    "svg.fonttype": "none",
    "svg.hashsalt": "survbench",
}
_FONTS = "'DejaVu Sans', Verdana, Arial, sans-serif"


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure with its words.

    Parameters
    ----------
    name : str
        What a file of it is called, without suffix.
    title : str
        What it shows.
    alt : str
        One sentence with the numbers, for those who cannot see it.
    figure : Figure
        Drawn by matplotlib.
    """

    name: str
    title: str
    alt: str
    figure: Figure

    def __post_init__(self) -> None:
        with style():
            for _ in range(2):  # the first layout does not know yet how wide its ticks are
                self.figure.draw_without_rendering()
            self.figure.set_layout_engine("none")

    def svg(self) -> str:
        """SVG that stands alone or inside a page, with its title and words."""
        buffer = io.StringIO()
        with style():
            nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
            self.figure.savefig(buffer, format="svg", metadata=nothing)
        made = buffer.getvalue()
        made = made[made.index("<svg") :].replace("'DejaVu Sans'", _FONTS)
        prefix = "f" + hashlib.sha256((self.title + made).encode()).hexdigest()[:10] + "-"
        made = re.sub(r"<[^>!?][^>]*>", lambda tag: _prefixed(tag[0], prefix), made)
        head, rest = made.split(">", 1)
        words = (
            f'<title id="{prefix}title">{escape(self.title)}</title>'
            f'<desc id="{prefix}alt">{escape(self.alt)}</desc>'
        )
        aria = f' role="img" aria-labelledby="{prefix}title {prefix}alt"'
        return f"{head}{aria}>\n {words}{rest}"

    def png(self) -> bytes:
        """PNG at 300 dots per inch."""
        buffer = io.BytesIO()
        with style():
            self.figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
        return buffer.getvalue()

    def save(self, folder: str | Path, formats: Sequence[str] = FORMATS) -> list[Path]:
        """Write the figure into a folder, which is made; returns the files."""
        content = {"svg": lambda: self.svg().encode(), "png": self.png}
        Path(folder).mkdir(parents=True, exist_ok=True)
        paths = [Path(folder) / f"{self.name}.{kind}" for kind in formats]
        for path, kind in zip(paths, formats, strict=True):
            path.write_bytes(content[kind]())
        return paths


@contextmanager
def style() -> Iterator[None]:
    """Our settings of matplotlib, whatever the reader's own are; they come back afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def canvas(width: float, height: float) -> Figure:
    """Empty figure of so many inches, laid out by matplotlib's constrained layout."""
    made = Figure(figsize=(width, height), layout="constrained")
    made.get_layout_engine().set(w_pad=0.03, h_pad=0.03)  # type: ignore[call-arg, union-attr]
    return made


def file_name(*parts: str) -> str:
    """Parts joined to a plain file name."""
    return "-".join(re.sub(r"[^A-Za-z0-9_@+.]+", "_", part).strip(".") or "_" for part in parts)


def named(row: Row) -> str:
    """Method of a row, with the config set beside the preset."""
    return plain(row.full_name)


def lacking(regime: str) -> str:
    """What is missing at test, in words."""
    return f"{'nothing' if regime == 'none' else regime} missing"


def heading(axes: Axes, first: str, second: str = "") -> None:
    """What is shown, and below it its numbers, above the axes at the left, in lines that fit."""
    offset = {"xycoords": "axes fraction", "textcoords": "offset points", "annotation_clip": False}
    room = 72 * axes.get_figure(root=True).get_figwidth() - BESIDE  # type: ignore[union-attr]
    up = 4.0
    for text, colour, size in ((second, GREY, SMALL), (first, INK, NORMAL)):
        for line in reversed(_wrapped(text, size, room)):
            axes.annotate(line, (0, 1), (0, up), color=colour, fontsize=size, **offset)  # type: ignore[arg-type]
            up += 9


def _wrapped(text: str, size: float, room: float) -> list[str]:
    """At most three lines of a text, each at most so many points wide."""
    if not text:
        return []
    width = TextPath((0, 0), text, size=size, usetex=False).get_extents().width
    letters = int(0.95 * len(text) * room / max(width, room))
    return [text] if width <= room else wrap(text, letters, max_lines=3, placeholder=" ...")


def month_ticks(last: float, most: int = 6) -> list[float]:
    """Whole half years from 0 to the last month, at most so many steps."""
    step = next((s for s in (6, 12, 24, 36, 48, 60) if last / s <= most), 120)
    return [float(t) for t in np.arange(0, last + 1e-9, step)]


def apart(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The values moved as little as needed to stand a gap apart, in their order, within bounds."""
    order = np.argsort(values, kind="stable")
    placed = np.array(values, float)[order]
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    over = max(0.0, placed[-1] - high) if len(placed) else 0.0
    if over:
        placed[-1] -= over
        for i in range(len(placed) - 2, -1, -1):
            placed[i] = min(placed[i], placed[i + 1] - gap)
    placed += max(0.0, low - placed[0]) if len(placed) else 0.0
    back = np.empty(len(placed))
    back[order] = placed
    return [float(value) for value in back]


def _prefixed(tag: str, prefix: str) -> str:
    """A tag whose ids, and references to ids, begin with the prefix."""
    tag = re.sub(r'\bid="', f'id="{prefix}', tag)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}", tag)
