"""Records of training, a JSON object a line, as `metrics.jsonl` holds them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file that may be growing; a line that is no record, or half of one, isn't.

    There are none if there is no file.
    """
    if not path.exists():
        return
    for line in path.read_bytes().split(b"\n"):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and "update" in record:
            yield record
