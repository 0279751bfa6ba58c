"""Lines of JSON, as corpora and inputs hold them."""

import json
from typing import Any

from seq2seq.errors import DataError

_KINDS = {bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object"}


def kind_of(value: object) -> str:
    """What JSON calls a value."""
    return "null" if value is None else _KINDS.get(type(value), type(value).__name__)


def parse_object(line: str, place: str) -> dict[str, Any]:
    """The JSON object of a line.

    Raises:
        DataError: It is none.
    """
    try:
        record = json.loads(line)
    except RecursionError:
        raise DataError(f"{place}: JSON nested too deeply; write one object a line") from None
    except ValueError as error:
        reason = getattr(error, "msg", str(error))
        raise DataError(f"{place}: not JSON ({reason}); write one object a line") from None
    if not isinstance(record, dict):
        raise DataError(f"{place}: not a JSON object; write one object a line")
    return record
