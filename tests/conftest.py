import os
import signal
import zlib
from pathlib import Path

import pytest
from toy import toy_recipe

# Where tests run in the background Ctrl-C may be ignored, and the commands that they start would
# ignore it too.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Tests run side by side, one per core, and so do the commands that they start.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of a toy task, trained so far that its outputs differ; not to be changed.

    What its recipe names lies beside it.
    """
    from seq2seq.train import train

    recipe = toy_recipe(tmp_path_factory.mktemp("toy"), "training.max_epochs=12")
    return train(recipe).run_dir


@pytest.fixture(autouse=True)
def draws(request: pytest.FixtureRequest) -> None:
    """Random numbers of torch depend on the test alone, not on those before it."""
    import torch

    torch.manual_seed(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture
def doubles():
    """Numbers of 64 bits: cells normalised over few units multiply the errors of rounding."""
    import torch

    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="session")
def translator(toy_run: Path):
    """What translates with the run of the toy task; not to be changed."""
    from seq2seq.translate import Translator

    return Translator.load(toy_run)


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
