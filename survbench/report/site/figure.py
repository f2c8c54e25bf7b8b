"""A plot of a row, and the file it has in the site."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

FOLDER = "figures"


@dataclass(frozen=True)
class Figure:
    """A plot as SVG.

    Parameters
    ----------
    title : str
        What it shows.
    alt : str
        The same for those who cannot see it: what is compared and what comes out.
    svg : str
        The whole SVG file.
    """

    title: str
    alt: str
    svg: str


def figure_file(key: str) -> str:
    """Path in the site of the figure with a key <cohort>/<setting>/<regime>/<kind>.

    Every part becomes a plain file name, whatever a plugin called itself; two keys never share one.
    """
    return "/".join([FOLDER, *map(_file_name, key.split("/"))]) + ".svg"


def _file_name(part: str) -> str:
    name = quote(part, safe="@+")
    return f"%2E{name[1:]}" if name.startswith(".") else name or "%"
