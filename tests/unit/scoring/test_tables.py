import json
import re
import unicodedata

import pytest

from seq2seq.scoring.tables import TABLE_FORMATS, Table, display_width, printable

TABLE = Table(
    ["system", "BLEU", "was"],
    [
        ["日本語.txt", "3.00", "x"],
        ["a|b_c", "12.50 [1, 2]", ""],
        ["e\u0301\t[x] 5 % \\", "9", "y\nz"],
    ],
    notes=["nrefs:1|x", "50 %"],
    title="a_title",
)


def test_columns_stand_below_each_other_at_a_terminal() -> None:
    title, header, *rows, empty, one, other = TABLE_FORMATS["text"](TABLE).splitlines()
    assert (title, empty, one, other) == ("a_title", "", "nrefs:1|x", "50 %")
    end = display_width(header[: header.index("BLEU") + 4])
    for row, number in zip(rows, ["3.00", "12.50 [1, 2]", "9"], strict=True):
        assert display_width(row[: row.index(number) + len(number)]) == end
    assert display_width(rows[0][: rows[0].index("x", 8)]) == display_width(
        rows[2][: rows[2].index("y\\n")]
    )


def test_widths() -> None:
    assert display_width("日本語") == 6
    assert display_width("e\u0301a\u200d") == 2
    assert display_width("한국 x") == 6


def test_markdown_has_as_many_cells_in_each_row() -> None:
    lines = TABLE_FORMATS["markdown"](TABLE).splitlines()
    rows = [re.split(r"(?<!\\)\|", line) for line in lines if line.startswith("|")]
    assert {len(row) for row in rows} == {5}
    assert [cell.strip() for cell in rows[1][1:-1]] == [":--", "--:", ":--"]
    assert rows[3][1].strip() == r"a\|b\_c"
    assert lines[0] == r"**a\_title**"


def test_latex_is_escaped() -> None:
    output = TABLE_FORMATS["latex"](TABLE)
    lines = output.splitlines()
    assert r"\begin{tabular}{lrl}" in lines
    rows = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    assert rows[1] == r"a\textbar{}b\_c & 12.50 {[}1, 2{]} &  \\"
    first = "e\u0301\\textbackslash{}t{[}x{]} 5 \\% \\textbackslash{}"
    assert rows[2] == first + r" & 9 & y\textbackslash{}nz \\"
    for row in rows:
        assert len(re.findall(r"(?<!\\)&", row)) == 2
        assert not re.search(r"(?<!\\)[%#_$]", row)
    assert lines[-2:] == ["% nrefs:1|x", "% 50 %"]


@pytest.mark.parametrize("name", TABLE_FORMATS)
def test_a_table_may_have_no_rows(name: str) -> None:
    assert "BLEU" in TABLE_FORMATS[name](Table(["system", "BLEU"], []))


def test_what_is_shown_is_one_line_and_steers_no_terminal() -> None:
    text = "".join(map(chr, range(0x3000))) + "\u2028\u2029\x1b[31m"
    shown = printable(text)
    assert len(shown.splitlines()) == 1
    assert not [mark for mark in shown if unicodedata.category(mark) == "Cc"]
    assert printable("ä 日本\u00a0\u200d!") == "ä 日本\u00a0\u200d!"
    assert json.loads(f'"{printable(chr(10))}"') == "\n"
