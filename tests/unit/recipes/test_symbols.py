import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "recipes/characters/symbols.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("symbols", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_lemma_and_features_become_symbols(script, tmp_path):
    table = tmp_path / "deu.trn"
    table.write_text("Aa machen\tV;IMP;NOM(2,SG)\tmach Aa\ncafe\u0301\tN;PL\tCafés\n")
    prefix = tmp_path / "new/train"
    script.main([str(table), str(prefix), "--src", "1", "2", "--tgt", "3", "--tags", "2"])
    assert Path(f"{prefix}.src").read_text() == (
        "A a ▁ m a c h e n <V> <IMP> <NOM> <2> <SG>\nc a f é <N> <PL>\n"
    )
    assert Path(f"{prefix}.tgt").read_text() == "m a c h ▁ A a\nC a f é s\n"


def test_symbols_stay_and_files_are_named(script, tmp_path):
    table = tmp_path / "fre.tsv"
    table.write_text("à\ta\nchat\tʃ a\n")
    arguments = "--src 1 --tgt 2 --spaced 2 --suffixes graph phon".split()
    script.main([str(table), str(tmp_path / "dev"), *arguments])
    assert (tmp_path / "dev.graph").read_text() == "à\nc h a t\n"
    assert (tmp_path / "dev.phon").read_text() == "a\nʃ a\n"


def test_a_missing_column_is_told_with_its_line(script, tmp_path):
    table = tmp_path / "x.tsv"
    table.write_text("a\tb\nc\n")
    with pytest.raises(SystemExit, match=r"x\.tsv:2: has no column 2"):
        script.main([str(table), str(tmp_path / "x"), "--src", "1", "--tgt", "2"])
