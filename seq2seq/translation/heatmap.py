"""Pictures of attention."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt
    from matplotlib.figure import Figure

    Weights = npt.NDArray[np.float32]
    Draw = Callable[[int, Sequence[str], Sequence[str], Weights], None]

logger = logging.getLogger(__name__)

_FONT = "DejaVu Sans"
_WIDE_FONTS = [
    *("CJK", "Noto", "Unicode", "Fallback", "WenQuanYi", "YaHei", "PingFang", "Hiragino"),
    *("Malgun", "SimHei", "IPA", "Unifont"),
]
"""Parts of the names of fonts that have what the first one lacks."""

_MISSING, _TOLD = "\u25a1", 8
"""What stands for a sign that no font has, and how many of these are named at most."""

_CELL, _LARGEST = 0.3, 60.0
"""Side of a cell and longest side of a picture, in inches."""


@contextmanager
def open_pictures(path: Path, *, resume: bool = False) -> Iterator[Draw]:
    """Give a function that draws attention, with the number of its line, where `path` says.

    A name that ends in .pdf is a file with a page for each, one in .png, .svg or what else
    matplotlib writes by itself a single picture, any other a folder. At the end a warning names
    signs that no font has.

    Args:
        path: the place.
        resume: keep what was drawn there before.

    Raises:
        UserError: matplotlib is missing, the place cannot be written, or there is no place for
            another picture.
    """
    try:
        from matplotlib.backend_bases import FigureCanvasBase
        from matplotlib.backends.backend_pdf import PdfPages
    except ImportError:
        raise UserError(f"{path}: needs matplotlib; pip install matplotlib") from None
    kind, numbers, unknown = path.suffix.lower(), set(), dict[str, None]()
    # PGF needs a LaTeX on the machine.
    is_picture = kind[1:] in FigureCanvasBase.get_supported_filetypes().keys() - {"pdf", "pgf"}
    if resume and (is_picture or kind == ".pdf"):
        raise UserError(f"{path}: cannot go on in a file; name a folder, or leave out --resume")
    with ExitStack() as stack:
        pages: Any = None
        try:
            if kind == ".pdf":
                path.open("ab").close()
                pages = stack.enter_context(PdfPages(path))
            elif not is_picture:
                path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(path, error) from None

        def draw(number: int, src: Sequence[str], tgt: Sequence[str], weights: Weights) -> None:
            numbers.add(number)
            if is_picture and len(numbers) > 1:
                what = "holds one picture, but there are more lines"
                raise UserError(f"{path}: {what}; name a folder or a .pdf file")
            figure, text = draw_attention(src, tgt, weights), "".join([*src, *tgt])
            unknown.update(dict.fromkeys(_without_font(text, _find_fonts(text))))
            try:
                if pages is not None:
                    pages.savefig(figure)
                else:
                    file = path if is_picture else path / f"{number:06}.png"
                    figure.savefig(file)
            except OSError as error:
                raise _unwritable(path, error) from None

        yield draw
    if not numbers and not resume:
        _tell_nothing(path)
    # Others, such as control characters, are in no font at all.
    if signs := [sign for sign in unknown if sign.isprintable()]:
        told = ", ".join(signs[:_TOLD]) + " and others" * (len(signs) > _TOLD)
        remedy = "install a Noto font that has them, for example Noto Sans CJK"
        logger.warning("warning: %s: no font has %s; %s", path, told, remedy)


def _tell_nothing(path: Path) -> None:
    if path.is_file() and not path.stat().st_size:
        path.unlink()
    logger.warning("warning: %s: there is no line to draw", path)


def draw_attention(src: Sequence[str], tgt: Sequence[str], weights: Weights) -> Figure:
    """A heat map.

    Args:
        src: S source pieces.
        tgt: T target pieces.
        weights: (T, S), from 0 to 1.
    """
    from matplotlib.figure import Figure

    cell = min(_CELL, _LARGEST / max(len(src), len(tgt), 1))
    fonts = _find_fonts("".join([*src, *tgt]))
    longest = [max(map(len, side), default=0) * cell / 2 for side in (tgt, src)]
    sides = [cell * len(side) + room + 1 for side, room in zip((src, tgt), longest, strict=True)]
    figure = Figure(figsize=(sides[0], sides[1]), layout="constrained")
    axes = figure.add_subplot()
    if weights.size:
        axes.imshow(weights, cmap="Greys", vmin=0, vmax=1, aspect="equal")
    axes.xaxis.tick_top()
    for axis, side in ((axes.xaxis, src), (axes.yaxis, tgt)):
        axis.set_ticks(range(len(side)))
        labels = axis.set_ticklabels([_readable(piece, fonts) for piece in side])
        for label in labels:
            label.set(fontsize=40 * cell, fontfamily=[*fonts], parse_math=False)
    for label in axes.get_xticklabels():
        label.set_rotation(90)
    axes.tick_params(length=0)
    return figure


def _unwritable(path: Path, error: OSError) -> UserError:
    reason = str(error.strerror).lower()
    return UserError(f"{path}: cannot be written ({reason}); name another place")


def _readable(text: str, fonts: dict[str, Collection[int]]) -> str:
    """A text of signs that the fonts have, in the order in which they are drawn."""
    from matplotlib import ft2font

    missing = _without_font(text, fonts)
    known = [_MISSING if sign in missing else sign for sign in text]
    leftwards = any(unicodedata.bidirectional(sign) in ("R", "AL") for sign in text)
    if leftwards and not hasattr(ft2font, "__libraqm_version__"):  # before matplotlib 3.11
        known.reverse()
    return "".join(known)


def _without_font(text: str, fonts: dict[str, Collection[int]]) -> list[str]:
    """Signs that none of the fonts has."""
    return [sign for sign in text if not any(ord(sign) in signs for signs in fonts.values())]


def _find_fonts(text: str) -> dict[str, Collection[int]]:
    """Fonts for the signs of a text, as far as there are any, with all signs that they have."""
    fonts: dict[str, Collection[int]] = {_FONT: _signs_of(_FONT)}
    missing = {ord(sign) for sign in text} - set(fonts[_FONT])
    for name in _wide_fonts() if missing else ():
        signs = _signs_of(name)
        if not missing.isdisjoint(signs):
            fonts[name] = signs
            missing -= set(signs)
    return fonts


@cache
def _wide_fonts() -> list[str]:
    from matplotlib.font_manager import findSystemFonts, fontManager

    known = {font.fname for font in fontManager.ttflist}
    for path in findSystemFonts():
        if path not in known:  # installed since matplotlib looked, which it does once
            with suppress(Exception):  # as it does itself: fonts can be wrong in any way
                fontManager.addfont(path)
    names = sorted({font.name for font in fontManager.ttflist})
    return [name for name in names if any(part in name for part in _WIDE_FONTS)]


@cache
def _signs_of(name: str) -> frozenset[int]:
    """Code points of a font that are worth drawing."""
    from matplotlib.font_manager import FontProperties, fontManager
    from matplotlib.ft2font import FT2Font

    charmap = FT2Font(fontManager.findfont(FontProperties(family=[name]))).get_charmap()
    return frozenset(code for code in charmap if chr(code).isprintable())
