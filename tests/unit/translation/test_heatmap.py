from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from seq2seq.errors import UserError
from seq2seq.translation.heatmap import draw_attention, open_pictures

SRC = "\u2581Hello \u2581$x_1$ \u4e16\u754c \u05e9\u05dc\u05d5\u05dd \u0645\u0631 \a </s>".split(
    " "
)
TGT = ["\u2581ein", "\U0001f600", "\ud800", ""]


def draw() -> Figure:
    rng = np.random.default_rng(1)
    return draw_attention(SRC, TGT, rng.random((len(TGT), len(SRC)), dtype=np.float32))


def test_each_piece_has_its_label_and_each_weight_its_cell() -> None:
    (axes,) = draw().axes
    across = [label.get_text() for label in axes.get_xticklabels()]
    assert (across[0], across[1], across[-1]) == ("\u2581Hello", "\u2581$x_1$", "</s>")
    assert across[5] == "\u25a1"  # a control character
    assert [label.get_text() for label in axes.get_yticklabels()][2:] == ["\u25a1", ""]
    (image,) = axes.get_images()
    expected = np.random.default_rng(1).random((len(TGT), len(SRC)), dtype=np.float32)
    np.testing.assert_array_equal(image.get_array(), expected)


@pytest.mark.parametrize(("name", "start"), [("x.png", b"\x89PNG"), ("x.svg", b"<?xml")])
def test_one_picture_in_a_file(name: str, start: bytes, tmp_path: Path) -> None:
    with open_pictures(tmp_path / name) as put:
        put(1, draw())
        with pytest.raises(UserError, match=f"{name}: holds one picture"):
            put(2, draw())
    assert (tmp_path / name).read_bytes().startswith(start)


def test_a_page_each_or_a_file_each(tmp_path: Path) -> None:
    for name in ("x.pdf", "folder/within"):
        with open_pictures(tmp_path / name) as put:
            put(1, draw())
            put(12, draw_attention([], [], np.zeros((0, 0), dtype=np.float32)))
    assert (tmp_path / "x.pdf").read_bytes().count(b"/Type /Page ") == 2
    names = {path.name for path in (tmp_path / "folder/within").iterdir()}
    assert names == {"000001.png", "000012.png"}
    with open_pictures(tmp_path / "none.pdf"):
        pass


def test_long_sentences_stay_on_the_paper() -> None:
    figure = draw_attention(SRC * 60, TGT * 10, np.zeros((40, 420), dtype=np.float32))
    assert max(figure.get_size_inches()) < 80


@pytest.mark.parametrize("name", ["file/x.png", "file/x.pdf", "file/x"])
def test_what_cannot_be_written_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"cannot be written \(not a directory\); name another"),
        open_pictures(tmp_path / name) as put,
    ):
        put(1, draw())
