import pytest

from seq2seq.training import loss


@pytest.fixture(params=[(1, 1), (4, 1), (4, 4), (13, 1), (100, 64)])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Of losses: tokens at a time, and the multiple they are filled up to.

    The module of the test says how large its vocabulary is.
    """
    size, multiple = request.param
    vocabulary = request.module.VOCAB
    monkeypatch.setattr(loss, "CHUNK_ENTRIES", size * vocabulary + vocabulary - 1)
    monkeypatch.setattr(loss, "ROW_MULTIPLE", multiple)
    return size, multiple
