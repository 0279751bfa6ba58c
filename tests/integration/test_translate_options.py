"""What `translate` does besides lines in, lines out; and `probability`."""

import io
import json
import math
import os
import pty
import random
import select
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from toy import toy_recipe

from seq2seq.cli import main
from seq2seq.data.segmentation import SPACE
from seq2seq.special import UNK
from seq2seq.translate import Translator
from seq2seq.translation.alignment import align_words

Capture = pytest.CaptureFixture[str]


pytestmark = pytest.mark.usefixtures("empty_folder")


@pytest.fixture(scope="module")
def backwards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that reads and writes from the end."""
    from seq2seq.train import train

    turned = ["data.reverse_src=true", "data.reverse_tgt=true"]
    folder = tmp_path_factory.mktemp("backwards")
    return train(toy_recipe(folder, *turned, "training.max_epochs=4")).run_dir


def changed(translator: Translator, longest: int | None = None, **keys: object) -> Translator:
    """The same models with other settings."""
    from seq2seq.data.tokenizer import Tokenizers

    return Translator(
        translator.exact.models,
        [Tokenizers(translator.sources[0], translator.target)],
        translator.decoding.model_copy(update=keys),
        translator.device,
        longest=longest,
    )


def digits(count: int, seed: int = 1, longest: int = 9) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices("0123456789", k=rng.randint(1, longest))) for _ in range(count)]


def translated(run: Path, lines: list[str], *options: str) -> list[str]:
    """The lines that the command writes for these lines."""
    Path("in").write_bytes("".join(line + "\n" for line in lines).encode())
    assert main(["translate", str(run), "-i", "in", "-o", "out", *options]) == 0
    output = Path("out").read_bytes().decode()
    assert output.endswith("\n")
    return output.split("\n")[:-1]


@pytest.mark.parametrize("kind", ["forwards", "backwards"])
def test_details_agree_with_each_other(toy_run: Path, backwards: Path, kind: str) -> None:
    run = backwards if kind == "backwards" else toy_run
    lines = [*digits(12), "", "12 😀 3"]
    plain = translated(run, lines, "--n-best", "2", "--alignments")
    full = translated(run, lines, "--n-best", "2", "--scores", "--alignments", "--json")
    rows = iter(plain)
    for line, row in zip(lines, full, strict=True):
        answer = json.loads(row)
        for one in answer["translations"]:
            number, text, links = next(rows).split("\t")
            assert (int(number), text) == (answer["line"], one["text"])
            assert links == " ".join(f"{i}-{j}" for i, j in one["alignment"])
            if not line:
                continue
            assert sum(one["log_probs"]) == pytest.approx(one["log_prob"], abs=1e-4)
            # Without an end mark where the limit of length was reached first.
            assert len(one["log_probs"]) - len(one["tokens"]) in (0, 1)
            weights = np.array(one["attention"]).reshape(-1, len(answer["src_tokens"]))
            assert weights.shape == (len(one["tokens"]), len(answer["src_tokens"]))
            np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-2)
            assert answer["src_tokens"][-1] == "</s>"
            tokens, src_tokens, weights = one["tokens"], answer["src_tokens"][:-1], weights[:, :-1]
            if kind == "backwards":
                tokens, src_tokens, weights = tokens[::-1], src_tokens[::-1], weights[::-1, ::-1]
            assert "".join(tokens).replace(SPACE, " ").strip() == text
            assert one["alignment"] == list(map(list, align_words(weights, src_tokens, tokens)))
            assert [j for _, j in one["alignment"]] == list(range(len(text.split())))
    assert next(rows, None) is None


def test_alignments_need_attention(tmp_path: Path, capsys: Capture) -> None:
    from seq2seq.train import train

    keys = ["model.decoder.attention=null", "model.decoder.feeding=null"]
    run = train(toy_recipe(tmp_path, *keys, "training.max_epochs=1")).run_dir
    Path("in").write_text("1 2\n")
    capsys.readouterr()
    assert main(["translate", str(run), "-i", "in", "--alignments"]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"{run}: its model has no attention ")
    assert errors.count("\n") == 1
    (row,) = translated(run, ["1 2"], "--scores", "--json")
    (one,) = json.loads(row)["translations"]
    assert sum(one["log_probs"]) == pytest.approx(one["log_prob"], abs=1e-4)
    assert "attention" not in one


def test_unknown_words_are_copied_from_where_attention_is(translator: Translator) -> None:
    bias = translator.ensemble.models[0].output.bias
    lines = ["1 😀 2", "3 4"]
    settings = {"ban_unk": False, "max_length": 3}
    before = bias.data.clone()
    bias.data[UNK] += 5
    try:
        plain = list(changed(translator, **settings).translate(lines, details=True))
        copying = changed(translator, **settings, replace_unk=True)
        found = list(copying.translate(lines, details=True))
        assert [t.text for t in copying.translate(lines)] == [t.text for t in found]
    finally:
        bias.data.copy_(before)
    copied = 0
    for line, one, other in zip(lines, plain, found, strict=True):
        (one,), (other,) = one.hypotheses, other.hypotheses
        assert (other.tokens, other.alignment) == (one.tokens, one.alignment)
        surfaces, pieces = translator.sources[0].surfaces(line), []
        for token, weights in zip(one.tokens, one.attention[:, :-1], strict=True):
            copy = surfaces[weights.tolist().index(max(weights))].replace(SPACE, "")
            pieces.append(copy or token if token == "<unk>" else token)
        assert other.text == "".join(pieces).replace(SPACE, " ").strip()
        copied += one.tokens.count("<unk>") - pieces.count("<unk>")
    assert copied


def test_a_line_longer_than_those_of_training_is_translated_in_parts(
    translator: Translator,
) -> None:
    short = changed(translator, longest=5, n_best=2)
    # A digit and a full stop would be an ordinal.
    first, second, third = "1 2 333.", "5 6 7 8,", "9 0 1"
    for details in (False, True):
        (whole,) = short.translate([f"{first} {second} {third}"], details=details)
        parts = list(short.translate([first, second, third], details=details))
        for rank, one in enumerate(whole.hypotheses):
            own = [part.hypotheses[rank] for part in parts]
            assert one.text == " ".join(part.text for part in own if part.text)
            assert one.tokens == [token for part in own for token in part.tokens]
            assert one.log_prob == pytest.approx(sum(part.log_prob for part in own), abs=1e-4)
        if not details:
            continue
        one, own = whole.hypotheses[0], [part.hypotheses[0] for part in parts]
        assert whole.src_tokens == [token for part in parts for token in part.src_tokens]
        assert sum(one.log_probs) == pytest.approx(one.log_prob, abs=1e-4)
        assert one.attention.sum() == pytest.approx(sum(part.attention.sum() for part in own))
        assert one.attention.shape == (len(one.tokens), len(whole.src_tokens))
        tgt_sizes = [len(part.text.split()) for part in own]
        expected = [
            (i + sum((3, 4, 3)[:k]), j + sum(tgt_sizes[:k]))
            for k, part in enumerate(own)
            for i, j in part.alignment
        ]
        assert one.alignment == expected
    assert next(short.translate(["", "1 2"])).text == ""
    untouched = changed(translator, longest=5, split_long=False)
    (line,) = untouched.translate(["1 2 3 4 5 6 7"])
    (same,) = translator.translate(["1 2 3 4 5 6 7"])
    assert line == same


def test_sentences_of_a_paragraph_are_translated_one_by_one(toy_run: Path) -> None:
    sentences = ["1 2 333.", "4 5 666!", "7 8 999?"]
    apart = translated(toy_run, sentences)
    paragraph = [" ".join(sentences), "", sentences[0]]
    assert translated(toy_run, paragraph, "--split-sentences") == [" ".join(apart), "", apart[0]]


def test_tables_and_records_keep_their_fields(toy_run: Path) -> None:
    lines = ["1 2", "", "3 4 5"]
    expected = translated(toy_run, lines)
    table = [f"{i}\t{line}\tend" for i, line in enumerate(lines)]
    assert translated(toy_run, table, "--format", "tsv", "--field", "2") == [
        f"{row}\t{answer}" for row, answer in zip(table, expected, strict=True)
    ]
    records = [json.dumps({"id": i, "in": line}) for i, line in enumerate(lines)]
    found = translated(toy_run, [*records, ""], "--format", "jsonl")
    assert found.pop() == ""
    assert [json.loads(row) for row in found] == [
        json.loads(record) | {"translation": answer}
        for record, answer in zip(records, expected, strict=True)
    ]
    found = translated(toy_run, records, "--format", "jsonl", "--n-best", "2", "--into", "x")
    assert [len(json.loads(row)["x"]) for row in found] == [2, 1, 2]
    found = translated(toy_run, table, "--format", "tsv", "--field", "2", "--n-best", "4")
    assert [row.count("\t") for row in found] == [6] * 3


@pytest.mark.parametrize(
    "options",
    [
        *([], ["--json"], ["--n-best", "3"], ["--format", "tsv", "--n-best", "2"], ["--scores"]),
        ["--json", "--scores", "--alignments"],
    ],
    ids=str,
)
def test_going_on_with_half_a_file(
    toy_run: Path, options: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The last digits of numbers depend on the lines that are computed together.
    monkeypatch.setattr("seq2seq.translate.WINDOW", 24)
    lines = [*digits(20), "", *digits(9, seed=2)]
    translated(toy_run, lines, *options)
    whole = Path("out").read_bytes()
    again = ["translate", str(toy_run), "-i", "in", "-o", "out", "--resume", *options]
    for size in (0, len(whole) // 3, len(whole) // 2, len(whole) - 1, len(whole)):
        Path("out").write_bytes(whole[:size])
        assert main(again) == 0
        assert Path("out").read_bytes() == whole
    Path("out").write_bytes(whole)
    Path("in").write_text("1 2\n")
    assert main(again) == 2
    errors = capsys.readouterr().err
    number = 1 if "tsv" in options or "--json" in options else 2
    assert f"out:{number}: is not the answer to line {number} of this input; " in errors
    assert Path("out").read_bytes() == whole


class Prompt:
    """The command at a terminal of its own, to type at."""

    def __init__(self, run: Path, state: Path, *options: str) -> None:
        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "seq2seq", "translate", str(run), *options],
            stdin=theirs,
            stdout=theirs,
            stderr=subprocess.PIPE,
            env=os.environ | {"TERM": "dumb", "XDG_STATE_HOME": str(state)},
        )
        os.close(theirs)
        self.read_until("> ")

    def read_until(self, end: str) -> str:
        text = ""
        while end not in text:
            assert select.select([self.ours], [], [], 60)[0], text
            text += os.read(self.ours, 1000).decode(errors="replace")
        return text

    def type(self, keys: bytes, end: str = "\r\n> ") -> str:
        os.write(self.ours, keys)
        return self.read_until(end)

    def end(self) -> list[str]:
        """End it, and have what it told besides."""
        os.write(self.ours, b"\x04")
        assert self.process.wait(timeout=60) == 0
        assert self.process.stderr is not None
        first, *others = self.process.stderr.read().decode().splitlines()
        assert first == "type a line to translate; Ctrl-D ends"
        self.process.stderr.close()
        os.close(self.ours)
        return others


def test_a_prompt_answers_each_line_and_remembers_it(toy_run: Path) -> None:
    expected = translated(toy_run, ["1 2", "3 4 5"])
    state = Path("state").resolve()
    prompt = Prompt(toy_run, state)
    for line, answer in zip(["1 2", "3 4 5"], expected, strict=True):
        assert f"{line}\r\n{answer}\r\n> " in prompt.type(f"{line}\n".encode(), f"{answer}\r\n> ")
    prompt.type(b"\xff\n")
    assert not prompt.end()
    history = state / "seq2seq" / "history"
    assert history.read_bytes().splitlines()[:2] == [b"1 2", b"3 4 5"]
    assert history.stat().st_mode & 0o077 == 0
    history.write_text("".join(f"{i} {i}\n" for i in range(1100)) + "3 4 5\n")
    prompt = Prompt(toy_run, state)
    previous = b"\x10"
    assert f"3 4 5\r\n{expected[1]}\r\n> " in prompt.type(previous + b"\n", f"{expected[1]}\r\n> ")
    prompt.type(b"6\n")
    assert not prompt.end()
    kept = history.read_text().splitlines()
    assert len(kept) == 1000 and kept[-2:] == ["3 4 5", "6"]


def test_a_prompt_goes_on_after_a_line_that_it_cannot_read(toy_run: Path) -> None:
    prompt = Prompt(toy_run, Path("state").resolve(), "--format", "jsonl")
    prompt.type(b'{"in": "1 2"\n')
    prompt.type(b'{"in": "1 2"}\n', '"}\r\n> ')
    prompt.type(b'{"to": "1 2"}\n', '2"}\r\n> ')
    first, second = prompt.end()
    assert first.startswith("standard input:1: not JSON (")
    assert second.startswith("standard input:3: no field 'in' (there: to); ")


def test_a_prompt_without_a_place_to_remember(toy_run: Path) -> None:
    Path("state").write_text("a file")
    prompt = Prompt(toy_run, Path("state").resolve())
    prompt.type(b"1 2\n")
    assert not prompt.end()
    assert Path("state").read_text() == "a file"


def random_bytes(rng: random.Random) -> bytes:
    """Lines of all that is unpleasant, sometimes none that is UTF-8 or JSON."""
    parts = [b"\n", b"\r", b"\t", b"\0", b"1 2", b" ", b'{"in": "3 4"}', b'{"in":', b"[" * 20]
    parts += ["\u2028😀\u0301\ufeff".encode(), b"\xff", b"\xed\xa0\x80", b"\x1f\x8b", b"9" * 600]
    parts += [
        b'"\\ud800"',
        "\U000e0001\u3002\uff1f".encode(),
        b"\x85\x0b\x0c",
        b"a. B, c; ",
        b"\xe2\x96\x81",
    ]
    calm = parts[:4] + parts[4:7] * 3 if rng.random() < 0.5 else parts
    return b"".join(rng.choices(calm, k=rng.randint(0, 12)))


@pytest.mark.parametrize("form", ["text", "tsv", "jsonl"])
def test_any_bytes_give_as_many_lines_or_one_line_of_error(
    translator: Translator,
    toy_run: Path,
    form: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    bounded = changed(translator, longest=50, max_length=5, beam_size=2)
    monkeypatch.setattr(Translator, "load", lambda *args, **settings: bounded)
    rng, endings = random.Random(form), {0: 0, 2: 0}
    options = ["--alignments"] if form == "text" else ["--format", form, "--split-sentences"]
    for _ in range(60):
        content = random_bytes(rng)
        Path("in").write_bytes(content)
        status = main(["translate", str(toy_run), "-i", "in", "-o", "out", *options])
        endings[status] += 1
        lines, errors = Path("out").read_bytes(), capsys.readouterr().err
        expected = content.count(b"\n") + (not content.endswith(b"\n") and bool(content))
        if status == 0:
            assert (lines.count(b"\n"), errors) == (expected, "")
        else:
            assert errors.count("\n") == 1
            assert errors.startswith("in:")
            number = int(errors.split(":")[1])
            assert lines.count(b"\n") <= number - 1 <= expected
    assert min(endings.values()) > 3


def test_probability_is_that_of_the_search(
    toy_run: Path, translator: Translator, capsys: Capture
) -> None:
    lines = digits(20)
    Path("src").write_text("".join(f"{line}\n" for line in lines))
    found = [translation.hypotheses[0] for translation in translator.translate(lines)]
    Path("tgt").write_text("".join(f"{one.text}\n" for one in found))
    assert main(["probability", str(toy_run), "src", "tgt", "--json"]) == 0
    output, errors = capsys.readouterr()
    records = [json.loads(row) for row in output.splitlines()]
    same = 0
    for line, one, record in zip(lines, found, records, strict=True):
        assert (record["src"], record["tgt"]) == (line, one.text)
        values = record["log_probs"]
        assert sum(values) == pytest.approx(record["log_prob"])
        assert math.exp(-sum(values) / len(values)) == pytest.approx(record["perplexity"])
        assert [word for word, _ in record["words"]] == [*one.text.split(), "</s>"]
        assert sum(value for _, value in record["words"]) == pytest.approx(sum(values), abs=1e-4)
        if record["tokens"][:-1] == one.tokens:
            assert record["log_prob"] == pytest.approx(one.log_prob, abs=1e-4)
            same += 1
    assert same > 10
    total = sum(record["log_prob"] for record in records)
    assert errors.startswith(f"20 pairs: log-probability {total:.2f}, perplexity ")
    for option, shown in (("--pieces", "tokens"), ("--words", "words")):
        assert main(["probability", str(toy_run), "src", "tgt", option]) == 0
        rows = [row.split("\t") for row in capsys.readouterr().out.splitlines()]
        for record, (log_prob, _, parts) in zip(records, rows, strict=True):
            assert log_prob == f"{record['log_prob']:.4f}"
            texts = record[shown] if option == "--pieces" else [w for w, _ in record[shown]]
            assert parts.split(" ")[::2] == texts


def test_probability_of_what_comes_in(
    toy_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def told(content: bytes, *files: str) -> int:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
        return main(["probability", str(toy_run), *files])

    assert told("1 2\t2 1\n\t\n😀\t\n\t3\n".encode()) == 0
    assert capsys.readouterr().out.count("\n") == 4
    assert told(b"1\t1\n2\n") == 2
    message = "standard input:2: 1 columns; give source and target with one tab between them\n"
    assert capsys.readouterr() == ("", message)
    assert told(b"1 2\t2 1\n3\t3\n") == 0
    expected = capsys.readouterr()
    Path("src").write_text("1 2\n3\n")
    assert told(b"2 1\n3\n", "src", "-") == 0
    assert capsys.readouterr() == expected
    assert told(b"2 1\n", "src", "-") == 2
    message = "standard input: ends after 1 lines, but src goes on; the two must match line by line"
    assert capsys.readouterr().err == f"{message}\n"
    assert told(b"", "-", "-") == 2
    message = "-: standard input can be read once only; name a file for the other\n"
    assert capsys.readouterr() == ("", message)


def test_probability_names_unequal_files(toy_run: Path, capsys: Capture) -> None:
    Path("src").write_text("1\n2\n")
    Path("tgt").write_text("1\n")
    assert main(["probability", str(toy_run), "src", "tgt"]) == 2
    message = "tgt: ends after 1 lines, but src goes on; the two must match line by line\n"
    assert capsys.readouterr().err == message
    assert main(["probability", str(toy_run), "src"]) == 2
    message = "seq2seq probability: give SRC and TGT, or pairs on standard input\n"
    assert capsys.readouterr().err == message


def test_one_text_is_no_list_of_lines(translator: Translator) -> None:
    with pytest.raises(TypeError, match="one text"):
        translator.translate("1 2 3")
    lines = iter(["1 2", "3"])
    assert len([translation.text for translation in translator.translate(lines)]) == 2


def test_a_picture_for_each_sentence(toy_run: Path, capsys: Capture) -> None:
    lines = ["1 2 3", "", "4 5"]
    plain = translated(toy_run, lines)
    assert translated(toy_run, lines, "--attention-plot", "pictures") == plain
    assert {path.name for path in Path("pictures").iterdir()} == {"000001.png", "000003.png"}
    assert main(["translate", str(toy_run), "-i", "in", "--attention-plot", "one.png"]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("one.png: holds one picture, but there are more lines; ")
    assert errors.count("\n") == 1
    assert translated(toy_run, lines, "--attention-plot", "all.pdf") == plain
    pages, words = (
        Path("all.pdf").read_bytes(),
        ["translate", str(toy_run), "-i", "in", "-o", "out"],
    )
    assert main([*words, "--resume", "--attention-plot", "all.pdf"]) == 2
    message = "all.pdf: cannot go on in a file; name a folder, or leave out --resume\n"
    assert (capsys.readouterr().err, Path("all.pdf").read_bytes()) == (message, pages)
    assert translated(toy_run, lines[:1], "--attention-plot", "one.jpg") == plain[:1]
    assert translated(toy_run, lines[:1], "--attention-plot", "a.pgf") == plain[:1]
    assert Path("all.pdf").is_file() and Path("one.jpg").is_file() and Path("a.pgf").is_dir()


def test_minimum_bayes_risk_chooses_among_the_n_best(
    toy_run: Path, translator: Translator, capsys: Capture
) -> None:
    from seq2seq.recipe import Evaluation
    from seq2seq.scoring.metrics import build_sentence_scorer

    lines = [*digits(15, seed=4), ""]
    score, others = build_sentence_scorer("chrf", Evaluation()), 0
    listed = list(changed(translator, n_best=5).translate(lines))
    chosen = translated(toy_run, lines, "--mbr", "--json", "--n-best", "2")
    plain = translated(toy_run, lines, "--mbr", "chrf")
    for candidates, row, text in zip(listed, chosen, plain, strict=True):
        best = json.loads(row)["translations"][0]
        assert best["text"] == text
        if not candidates.src:
            continue
        shares = np.exp([one.log_prob for one in candidates.hypotheses])
        texts = [one.text for one in candidates.hypotheses]
        risks = [
            sum(
                share * score([one], [other])[0] for share, other in zip(shares, texts, strict=True)
            )
            for one in texts
        ]
        assert best["score"] == pytest.approx(max(risks) / shares.sum(), rel=1e-5)
        assert risks[texts.index(text)] == pytest.approx(max(risks), rel=1e-5)
        others += text != candidates.text
    assert others
    assert main(["translate", str(toy_run), "-i", "in", "--mbr", "ter"]) == 2
    assert "decoding.mbr: must be one of " in capsys.readouterr().err


def test_shortlists_are_learnt_once_and_need_training_pairs(
    toy_run: Path, tmp_path: Path, capsys: Capture
) -> None:
    run = Path(shutil.copytree(toy_run, tmp_path / "run"))
    lines = ["1 2 3", "", "9 8", "4 4 7 1"]
    plain = translated(run, lines)
    assert translated(run, lines, "--shortlist", "50") == plain
    lexicon = run / "data/train/lexicon.safetensors"
    before = lexicon.stat().st_mtime_ns
    assert len(translated(run, lines, "--shortlist", "1", "--precision", "int8")) == len(lines)
    assert lexicon.stat().st_mtime_ns == before
    content = lexicon.read_bytes()
    for damaged in (content[:100], content[:-9] + bytes([content[-9] ^ 255]) + content[-8:]):
        lexicon.write_bytes(damaged)
        assert translated(run, lines, "--shortlist", "50") == plain
        assert "learnt again" in capsys.readouterr().err
        assert translated(run, lines, "--shortlist", "50") == plain
        assert capsys.readouterr().err == ""
    shutil.rmtree(run / "data")
    Path("in").write_text("1 2\n")
    assert main(["translate", str(run), "-i", "in", "--shortlist", "5"]) == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert message.startswith(f"{run}/data/train: no training pairs to learn")
