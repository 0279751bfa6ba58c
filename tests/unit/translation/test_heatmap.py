from pathlib import Path

import numpy as np
import pytest
from matplotlib.font_manager import findfont, fontManager

from seq2seq.errors import UserError
from seq2seq.translation import heatmap
from seq2seq.translation.heatmap import draw_attention, open_pictures

SRC = "\u2581Hello \u2581$x_1$ \u4e16\u754c \u05e9\u05dc\u05d5\u05dd \u0645\u0631 \a </s>".split(
    " "
)
TGT = ["\u2581ein", "\U0001f600", "\ud800", ""]


WEIGHTS = np.random.default_rng(1).random((len(TGT), len(SRC)), dtype=np.float32)
NOTHING = np.zeros((0, 0), dtype=np.float32)


def test_each_piece_has_its_label_and_each_weight_its_cell() -> None:
    (axes,) = draw_attention(SRC, TGT, WEIGHTS).axes
    across = [label.get_text() for label in axes.get_xticklabels()]
    assert (across[0], across[1], across[-1]) == ("\u2581Hello", "\u2581$x_1$", "</s>")
    assert across[5] == "\u25a1"  # a control character
    assert [label.get_text() for label in axes.get_yticklabels()][2:] == ["\u25a1", ""]
    (image,) = axes.get_images()
    np.testing.assert_array_equal(image.get_array(), WEIGHTS)


@pytest.mark.parametrize(("name", "start"), [("x.png", b"\x89PNG"), ("x.svg", b"<?xml")])
def test_one_picture_in_a_file(name: str, start: bytes, tmp_path: Path) -> None:
    with open_pictures(tmp_path / name) as put:
        put(1, SRC, TGT, WEIGHTS)
        with pytest.raises(UserError, match=f"{name}: holds one picture"):
            put(2, SRC, TGT, WEIGHTS)
    assert (tmp_path / name).read_bytes().startswith(start)


def test_a_page_each_or_a_file_each(tmp_path: Path) -> None:
    for name in ("x.pdf", "folder/within"):
        with open_pictures(tmp_path / name) as put:
            put(1, SRC, TGT, WEIGHTS)
            put(12, [], [], NOTHING)
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
        put(1, SRC, TGT, WEIGHTS)


@pytest.mark.parametrize("name", ["x.png", "x.pdf"])
def test_nothing_to_draw_leaves_no_file(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_pictures(tmp_path / name):
        pass
    assert caplog.messages == [f"warning: {tmp_path / name}: there is no line to draw"]
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["x.png", "x.PDF"])
def test_a_file_holds_what_was_drawn_before(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("before")
    with (
        pytest.raises(UserError, match="cannot go on in a file; name a folder, or leave out --res"),
        open_pictures(path, resume=True),
    ):
        pass
    assert path.read_text() == "before"
    with open_pictures(tmp_path / "folder", resume=True) as put:
        put(2, [], [], NOTHING)


@pytest.fixture
def fonts(monkeypatch: pytest.MonkeyPatch):
    """The fonts that come with matplotlib."""
    own = [font for font in fontManager.ttflist if "mpl-data" in font.fname]
    monkeypatch.setattr(fontManager, "ttflist", own)
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: [])
    heatmap._wide_fonts.cache_clear()
    yield own
    heatmap._wide_fonts.cache_clear()


def test_signs_without_a_font_are_told_once(
    fonts: object, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_pictures(tmp_path / "x") as put:
        put(1, ["\a", "a\ue000"], ["b"], WEIGHTS[:1, :2])
    assert not caplog.messages
    signs = [chr(0x4E00 + i) for i in range(9)]
    with open_pictures(tmp_path / "x") as put:
        put(1, ["a", *signs[:2]], signs[:1], WEIGHTS[:1, :3])
        put(2, [*signs[:2], "\a"], ["b"], WEIGHTS[:1, :3])
        assert not caplog.messages
    with open_pictures(tmp_path / "x") as put:
        put(1, signs, [], WEIGHTS[:0, :9])
    few, many = caplog.messages
    remedy = "; install a Noto font that has them, for example Noto Sans CJK"
    assert few == f"warning: {tmp_path / 'x'}: no font has {', '.join(signs[:2])}{remedy}"
    assert f"{', '.join(signs[:8])} and others{remedy}" in many


def test_a_font_that_is_installed_later_is_found(
    fonts: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fontTools.ttLib import TTFont

    sign = "\U0001d49c"
    assert heatmap._readable(sign, heatmap._find_fonts(sign)) == "\u25a1"
    font = TTFont(findfont("STIXGeneral"))
    for record in font["name"].names:
        record.string = "Noto of the tests"
    font.save(tmp_path / "x.ttf")
    (tmp_path / "broken.ttf").touch()
    installed = [str(tmp_path / name) for name in ("broken.ttf", "x.ttf")]
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: installed)
    heatmap._wide_fonts.cache_clear()
    assert heatmap._readable(sign, heatmap._find_fonts(sign)) == sign
