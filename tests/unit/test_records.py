import json
from pathlib import Path

import pytest

from seq2seq.records import read_records

WHOLE = [{"kind": "train", "update": 4, "loss": 2.5}, {"kind": "validation", "update": 4}]


@pytest.mark.parametrize(
    "tail", [b"", b'{"kind": "train", "upd', b'{"kind": "\xc3', b"7", b'["update"]', b'{"kind": 1}']
)
def test_lines_that_are_no_records_are_left_out(tmp_path: Path, tail: bytes) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_bytes("".join(json.dumps(record) + "\n" for record in WHOLE).encode() + tail)
    assert list(read_records(file)) == WHOLE


def test_no_file_has_no_records(tmp_path: Path) -> None:
    assert list(read_records(tmp_path / "metrics.jsonl")) == []
