import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "tools/check_layout.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_layout", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_layout"] = module
    spec.loader.exec_module(module)
    return module


def commit(folder: Path) -> None:
    """Puts all files under version control."""
    for words in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", "-C", str(folder), *words], check=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small checkout with nothing wrong."""
    files = {
        "README.md": "",
        "seq2seq/__init__.py": '"""Doc."""\n__version__ = "1"\n',
        "seq2seq/errors.py": "",
        "seq2seq/recipe.py": "from seq2seq.errors import E\nimport pydantic\n",
        "seq2seq/data/__init__.py": '"""Doc."""\n',
        "seq2seq/data/corpus.py": "from seq2seq import errors, recipe\n",
        "seq2seq/data/batch.py": "import torch\nfrom seq2seq.data.corpus import c\n",
        "seq2seq/model/__init__.py": '"""Doc."""\n',
        "seq2seq/model/encoder.py": "import torch\n",
        "seq2seq/train.py": "from seq2seq.model import encoder\n",
        "seq2seq/cli.py": "def main():\n    from seq2seq.train import t\n    print(t)\n",
        "recipes/toy/prepare.py": "import random\n",
        "tools/count.py": "from seq2seq.data.corpus import read\nprint(read)\n",
        "tests/unit/test_corpus.py": "import torch\n" + "x = 1\n" * 500,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    commit(tmp_path)
    (tmp_path / "mine.yaml").write_text("")
    return tmp_path


def test_nothing_wrong_gives_nothing(tool: ModuleType, tree: Path) -> None:
    assert tool.check(tree) == []


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("seq2seq/errors.py", "from seq2seq.recipe import R\n", ":1: errors imports recipe; "),
        ("seq2seq/errors.py", "import os\nimport seq2seq.data.corpus\n", ":2: errors imports data"),
        ("seq2seq/errors.py", "from seq2seq import recipe\n", ":1: errors imports recipe; "),
        (
            "seq2seq/errors.py",
            "def f():\n    if x:\n        from seq2seq import recipe\n",
            ":3: errors imports recipe; ",
        ),
        (
            "seq2seq/errors.py",
            "try:\n    pass\nexcept E:\n    from seq2seq import recipe\n",
            ":4: errors imports recipe; ",
        ),
        ("seq2seq/data/corpus.py", "from seq2seq.model.encoder import E\n", ":1: data imports mod"),
        ("seq2seq/recipe.py", "from .errors import E\n", ":1: relative import '.errors.E'; "),
        ("seq2seq/serve.py", "", ":1: 'serve' has no layer; "),
        ("seq2seq/recipe.py", "import torch.nn as nn\n", ":1: imports torch (torch) but "),
        ("seq2seq/recipe.py", "from torch import nn\n", ":1: imports torch (torch) but "),
        ("seq2seq/recipe.py", "from safetensors.torch import load\n", ":1: imports torch "),
        (
            "seq2seq/cli.py",
            "from seq2seq.train import train\n",
            ":1: imports torch (seq2seq.train -> seq2seq.model.encoder -> torch) but ",
        ),
        ("seq2seq/recipe.py", "x = 1\n" * 401, ":1: 401 lines; at most 400"),
        ("tests/unit/test_a.py", "\ndef f():\n" + "    x = 1\n" * 60, ":2: f has 61 lines; "),
        ("seq2seq/data/utils.py", "", ":1: 'utils' says nothing; "),
        ("tests/helpers/test_x.py", "", ":1: 'helpers' says nothing; "),
        ("seq2seq/data/__init__.py", '"""Doc."""\nimport os\n', ":2: code in __init__; "),
        ("seq2seq/data/__init__.py", '"""D."""\n__version__ = "1"\n', ":2: code in __init__; "),
        ("seq2seq/data/__init__.py", "", ":1: no docstring; "),
        ("seq2seq/recipe.py", "def f():\n    print(1)\n", ":2: print() outside cli.py; "),
        ("seq2seq/recipe.py", "import sys\nsys.exit(1)\n", ":2: sys.exit() outside cli.py; "),
        ("seq2seq/recipe.py", "import sys\nx = sys.argv[1]\n", ":2: sys.argv outside cli.py; "),
        ("recipes/toy/prepare.py", "import torch\n", ":1: recipes hold settings "),
        ("recipes/toy/prepare.py", "from seq2seq.data import corpus\n", ":1: recipes hold "),
        ("tools/count.py", "from seq2seq.data.corpus import _r\n", ":1: seq2seq.data.corpus._r is"),
        ("notes.txt", "", ":1: not a top-level entry; "),
    ],
)
def test_each_rule_is_checked(
    tool: ModuleType, tree: Path, name: str, text: str, expected: str
) -> None:
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    (tree / "mine.yaml").unlink()
    commit(tree)
    found = tool.check(tree)
    assert [line for line in found if line.startswith(name + expected)], found


def test_imports_for_type_checkers_only_are_free(tool: ModuleType, tree: Path) -> None:
    lines = ["if TYPE_CHECKING:", "    import torch", "    from seq2seq.train import train", ""]
    (tree / "seq2seq/recipe.py").write_text("\n".join(lines))
    assert tool.check(tree) == []


def test_a_torch_import_inside_a_function_is_no_torch_import(tool: ModuleType, tree: Path) -> None:
    (tree / "seq2seq/recipe.py").write_text("def f():\n    import torch\n")
    assert tool.check(tree) == []


def test_the_command_passes_on_this_project() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True)
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)
