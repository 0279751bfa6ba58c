"""Curves of training, drawn from the records of runs."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq.errors import RunError, UserError
from seq2seq.files import replacing
from seq2seq.records import read_records
from seq2seq.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg")
Record = Mapping[str, Any]
Value = Callable[[Record], Any]


@dataclass(frozen=True)
class Panel:
    """A diagram over the updates.

    Attributes:
        title: what it shows.
        train: the value in a record of training, if there is one.
        validation: the value in a record of a validation.
        log: whether values are shown by their orders of magnitude.
        from_zero: whether the axis begins at zero.
    """

    title: str
    train: Value | None = None
    validation: Value | None = None
    log: bool = False
    from_zero: bool = False


def _get(key: str, factor: float = 1) -> Value:
    """The value of a key, times a factor; nothing if a record doesn't have it."""

    def get(record: Record) -> Any:
        value = record.get(key)
        return value * factor if isinstance(value, int | float) else None

    return get


PANELS = (
    Panel("loss", _get("loss"), _get("loss")),
    Panel("perplexity", _get("perplexity"), _get("perplexity"), log=True),
    Panel("BLEU", validation=_get("bleu")),
    Panel("chrF", validation=_get("chrf")),
    Panel("chrF++", validation=_get("chrf++")),
    Panel("TER", validation=_get("ter")),
    Panel("WER, %", validation=_get("wer")),
    Panel("CER, %", validation=_get("cer")),
    Panel("accuracy, %", validation=_get("accuracy")),
    Panel("learning rate", _get("learning_rate")),
    Panel("gradient norm", _get("gradient_norm"), log=True),
    Panel("target tokens/s", _get("tokens_per_second"), from_zero=True),
    Panel("padding, %", _get("padding", 100), from_zero=True),
    Panel("waiting for batches, %", _get("loader_wait", 100), from_zero=True),
)
"""All diagrams; one that no run has a value for is left out."""


def draw_curves(runs: Sequence[Path], output: Path) -> None:
    """Draw the curves of runs over one another.

    Args:
        runs: run directories, also of runs that are being trained.
        output: PNG or SVG file to write.

    Raises:
        RunError: a run has no records yet.
        UserError: the file has another suffix or cannot be written.
    """
    if output.suffix not in FORMATS:
        raise UserError(f"{output}: no kind of drawing; name it *.png or *.svg")
    records: dict[str, list[Record]] = {}
    for run, label in zip(runs, _labels(runs), strict=True):
        file = Run(run).metrics_file
        records[label] = list(read_records(file))
        if not records[label]:
            raise RunError(f"{file}: no records of training yet; train the run first")
    try:
        with replacing(output) as partial:
            _draw(records, partial, output.suffix[1:])
    except OSError as error:
        reason = str(error.strerror).lower()
        raise UserError(f"{output}: cannot be written ({reason}); name another file") from None


def points(panel: Panel, records: Sequence[Record]) -> dict[str, tuple[list[int], list[float]]]:
    """Updates and values of a panel by the kind of their records, of kinds that have any."""
    found: dict[str, tuple[list[int], list[float]]] = {}
    values = {"train": panel.train, "validation": panel.validation}
    for record in records:
        kind = record.get("kind", "")
        get = values.get(kind)
        value = None if get is None else get(record)
        if value is not None and math.isfinite(value) and (value > 0 or not panel.log):
            updates, series = found.setdefault(kind, ([], []))
            updates.append(record["update"])
            series.append(value)
    return found


def _labels(runs: Sequence[Path]) -> list[str]:
    """Names for the legend: the last parts of the paths, if that is enough to tell runs apart."""
    names = [run.resolve().name for run in runs]
    return names if len(set(names)) == len(names) else [str(run) for run in runs]


def _draw(records: Mapping[str, Sequence[Record]], file: Path, kind: str) -> None:
    # Neither a display nor the user's own settings have a part in it.
    from matplotlib import style
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    found = {panel: [points(panel, each) for each in records.values()] for panel in PANELS}
    shown = [panel for panel in PANELS if any(found[panel])]
    rows = max(1, math.ceil(len(shown) / 2))
    metadata = {"Date": None} if kind == "svg" else {}
    with style.context(["default", {"svg.hashsalt": "seq2seq"}]):
        figure = Figure(figsize=(11, 2.5 * rows + 0.7), layout="constrained")
        for place, panel in enumerate(shown):
            axes = figure.add_subplot(rows, 2, place + 1, sharex=figure.axes[0] if place else None)
            axes.set_title(panel.title, fontsize="medium")
            axes.grid(alpha=0.3)
            if panel.log:
                axes.set_yscale("log")
                axes.yaxis.set_major_formatter(LogFormatter())
                axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))
            for number, lines in enumerate(found[panel]):
                for part, (updates, values) in lines.items():
                    axes.plot(updates, values, **_style(part, number, len(values)))
            if panel.from_zero:
                axes.set_ylim(bottom=0)
        _add_legend(figure, list(records))
        figure.savefig(file, format=kind, dpi=100, metadata=metadata)


def _style(part: str, number: int, count: int = 2) -> dict[str, Any]:
    """How a line is drawn: the colour is the run's."""
    marker = "o" if part == "validation" or count == 1 else ""
    width = 1.6 if part == "validation" else 0.8
    return {"color": f"C{number % 10}", "marker": marker, "markersize": 3, "linewidth": width}


def _add_legend(figure: "Figure", labels: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    names = {"train": "training", "validation": "development set"}
    grey = {"color": "grey"}
    handles = [Line2D([], [], label=text, **_style(part, 0) | grey) for part, text in names.items()]
    if len(labels) > 1:
        handles += [
            Line2D([], [], label=_drawable(label), color=f"C{number % 10}", linewidth=4)
            for number, label in enumerate(labels)
        ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(4, len(handles)))
    figure.supxlabel("updates" if len(labels) > 1 else f"updates of {_drawable(labels[0])}")


def _drawable(text: str) -> str:
    """Text that the font has all characters of, and that is neither a formula nor hidden."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    known = get_font(findfont(FontProperties())).get_charmap()
    plain = "".join(char if ord(char) in known else "?" for char in text).replace("$", r"\$")
    return f" {plain}" if plain.startswith("_") else plain
