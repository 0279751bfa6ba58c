import io
import itertools
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import sentencepiece

from seq2seq.data import tokenizer_training
from seq2seq.data.tokenizer import (
    Tokenizer,
    Tokenizers,
    load_tokenizers,
    save_tokenizers,
)
from seq2seq.data.tokenizer_training import MAX_LINES, _spread, train_tokenizers
from seq2seq.errors import DataError
from seq2seq.recipe import Tokenizer as Section
from seq2seq.sizes import OUTPUT_MULTIPLE
from seq2seq.special import BOS, EOS, PAD, UNK

RNG = random.Random(7)
SYLLABLES = ["ba", "ko", "lü", "mi", "ner", "so", "tag", "ur", "ße", "wi", "xen", "Yo"]
WORDS = ["".join(RNG.choices(SYLLABLES, k=RNG.randint(1, 4))) for _ in range(300)]
LINES = [" ".join(RNG.choices(WORDS, k=RNG.randint(1, 12))) for _ in range(600)]
TYPES = ["unigram", "bpe", "char", "word"]


def train(lines=LINES, **settings) -> Tokenizer:
    settings = {"vocab_size": 200} | settings
    return train_tokenizers(lambda: ((line, line) for line in lines), Section(**settings)).src


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Tokenizer]:
    return {kind: train(type=kind, vocab_size=400) for kind in TYPES}


def foreign_model(kind: str, **options) -> bytes:
    """A model with SentencePiece's own ids and normalisation."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES),
        model_writer=model,
        model_type=kind,
        vocab_size=options.pop("vocab_size", 400),
        minloglevel=2,
        **options,
    )
    return model.getvalue()


@pytest.mark.parametrize("kind", TYPES)
def test_text_survives_but_for_runs_of_spaces(kind, tokenizers):
    tokenizer = tokenizers[kind]
    assert tokenizer.decode(tokenizer.encode(LINES)) == LINES
    line = f"  {WORDS[0]}\t{WORDS[1]}   {WORDS[2]} "
    assert tokenizer.decode(tokenizer.encode([line, "", " "])) == [" ".join(WORDS[:3]), "", ""]
    assert tokenizer.encode([]) == tokenizer.decode([]) == []


@pytest.mark.parametrize("kind", TYPES)
def test_special_ids_are_fixed_and_silent(kind, tokenizers):
    tokenizer = tokenizers[kind]
    ids = tokenizer.encode([LINES[0]])[0]
    assert min(ids) > EOS and max(ids) < len(tokenizer)
    assert tokenizer.decode([[BOS, *ids, EOS, PAD, PAD]]) == [LINES[0]]
    assert tokenizer.pieces([PAD, UNK, BOS, EOS]) == ["<pad>", "<unk>", "<s>", "</s>"]
    assert "".join(tokenizer.pieces(ids)).replace("\u2581", " ").strip() == LINES[0]


@pytest.mark.parametrize("kind", TYPES)
def test_many_texts_at_once_are_as_one_by_one(kind, tokenizers):
    tokenizer = tokenizers[kind]
    texts = ["", *LINES, "  ", "Ω", *LINES] * 3
    ids = tokenizer.encode(texts)
    assert [tokenizer.encode([text])[0] for text in texts] == ids
    assert [tokenizer.decode([row])[0] for row in ids] == tokenizer.decode(ids)
    assert tokenizer.encode([]) == tokenizer.decode([]) == []


@pytest.mark.parametrize("kind", TYPES)
def test_unknown_characters_show_as_unk(kind, tokenizers):
    tokenizer = tokenizers[kind]
    ids = tokenizer.encode([f"{WORDS[0]} \u2603 {WORDS[1]}"])[0]
    assert ids.count(UNK) == 1
    assert tokenizer.decode([ids]) == [f"{WORDS[0]} <unk> {WORDS[1]}"]


def test_characters_are_kept_as_they_are():
    odd = [
        "\ufb01n \uff21\u00bd e\u0301\u00e9 \u2581 x\u2581y \u2028 \u00a0 \u3000. 1<2>0 <unk> <s>"
    ]
    tokenizer = train(lines=LINES + odd * 5, type="char")
    assert tokenizer.decode(tokenizer.encode(odd)) == odd


def test_byte_fallback_spells_anything():
    texts = ["\u2603 \U0001f600", "a\u0301\u2028b", "\u2581", "\ufb01 \uff21"]
    tokenizer = train(byte_fallback=True, vocab_size=400)
    ids = tokenizer.encode(texts)
    assert not any(UNK in row for row in ids)
    assert tokenizer.decode(ids) == texts
    assert tokenizer.decode([tokenizer.sample(text, 0.5, 1) for text in texts]) == texts


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("turned", [False, True])
def test_a_space_that_is_spelt_in_bytes_is_one(kind, turned):
    tokenizer = train(["1 2", "2 1"] * 10, byte_fallback=True, type=kind, vocab_size=300)
    tokenizer = tokenizer.reversed() if turned else tokenizer
    texts = ["xx", "1 xx 2 y", "\u2581 1\u2581 x"]
    ids = tokenizer.encode(texts)
    assert tokenizer.decode(ids) == texts
    assert [tokenizer.join(tokenizer.pieces(row)) for row in ids] == texts


def test_lowercase_is_that_of_python(tmp_path):
    tokenizer = train(lowercase=True, type="char")
    upper = "YO TAGSSE TAGße"
    assert tokenizer.decode(tokenizer.encode([upper])) == ["yo tagsse tagße"]
    assert tokenizer.decode([tokenizer.sample(upper, 0.1, 1)]) == ["yo tagsse tagße"]
    save_tokenizers(Tokenizers(tokenizer, tokenizer), tmp_path)
    assert load_tokenizers(tmp_path).src.encode([upper]) == tokenizer.encode([upper])


@pytest.mark.parametrize("kind", TYPES)
def test_small_corpora_get_fewer_pieces(kind):
    tokenizer = train(lines=["ab ab abc"], type=kind, vocab_size=5000)
    assert 4 < len(tokenizer) < 30
    assert tokenizer.decode(tokenizer.encode(["ab abc"])) == ["ab abc"]


@pytest.mark.parametrize(
    ("kind", "byte_fallback"),
    [("unigram", False), ("bpe", False), *((kind, True) for kind in TYPES)],
)
def test_vocabulary_smaller_than_the_alphabet(kind, byte_fallback):
    with pytest.raises(DataError, match=r"tokenizer\.vocab_size: 8 is too small.* need \d+ pieces"):
        train(type=kind, vocab_size=8, byte_fallback=byte_fallback)


@pytest.mark.parametrize("kind", TYPES)
def test_coverage_that_the_recipe_allows_is_learnt_with(kind):
    limits = Section.model_json_schema()["properties"]["character_coverage"]
    tokenizer = train(type=kind, character_coverage=limits["minimum"])
    assert len(tokenizer) > 4


@pytest.mark.parametrize("lines", [[], ["", " "]])
def test_no_text_to_train_on(lines):
    with pytest.raises(DataError, match="no text to train the tokenizer of both sides; "):
        train(lines=lines)


@pytest.mark.parametrize("kind", TYPES)
def test_training_is_reproducible(kind, tokenizers):
    assert train(type=kind, vocab_size=400).serialize() == tokenizers[kind].serialize()


def test_training_lines_are_spread_evenly():
    pairs = [(str(i), "") for i in range(1000)]
    assert list(_spread(pairs, 1000, MAX_LINES)) == pairs
    taken = [int(src) for src, _ in _spread(pairs, 1000, 30)]
    assert len(taken) == 30
    assert {b - a for a, b in itertools.pairwise(taken)} == {33, 34}


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize(("lines", "size"), [(10**6, 3000), (100, 10**9), (10**6, 10**9)])
def test_no_more_text_is_learnt_than_fits(lines, size, joint, monkeypatch, tokenizers):
    learnt = {}

    def learn(text, section, side):
        learnt[side] = list(text)
        return tokenizers["bpe"]

    monkeypatch.setattr(tokenizer_training, "_train", learn)
    monkeypatch.setattr(tokenizer_training, "MAX_LINES", lines)
    monkeypatch.setitem(tokenizer_training.MAX_BYTES, "bpe", size)
    pairs = [(f"{i:04}", f"ä{i:06}") for i in range(500)]
    train_tokenizers(lambda: iter(pairs), Section(joint=joint, type="bpe"))
    for side, text in learnt.items():
        whole = {"the source": 4, "the target": 8, "both sides": 12}[side] * 500
        all_lines = 1000 if joint else 500
        taken = sum(len(line.encode()) for line in text)
        assert taken <= size and len(text) <= lines
        assert len(text) >= 0.95 * min(all_lines, lines, all_lines * size / whole)
    assert set(learnt) == ({"both sides"} if joint else {"the source", "the target"})


def test_separate_models_learn_their_side_only(tmp_path):
    pairs = [("aaa ab", "xyx yyx")] * 20
    section = Section(joint=False, type="char", vocab_size=20)
    trained = train_tokenizers(lambda: iter(pairs), section)
    save_tokenizers(trained, tmp_path)
    loaded = load_tokenizers(tmp_path)
    assert loaded.src is not loaded.tgt
    assert loaded.src.decode(loaded.src.encode(["ab"])) == ["ab"]
    assert UNK in loaded.src.encode(["xy"])[0]
    assert UNK not in loaded.tgt.encode(["xy"])[0]


def test_joint_models_are_one(tmp_path, tokenizers):
    save_tokenizers(Tokenizers(tokenizers["bpe"], tokenizers["bpe"]), tmp_path)
    loaded = load_tokenizers(tmp_path)
    assert loaded.src is loaded.tgt
    assert loaded.src.encode(LINES) == tokenizers["bpe"].encode(LINES)


def train_two(count: int, kind: str = "bpe", **settings) -> Tokenizers:
    """Of two languages with some words in common."""
    pairs = [(src, " ".join(reversed(src[: len(src) // 2].split()))) for src in LINES]
    section = Section(type=kind, vocab_size=400, tgt_min_count=count, **settings)
    pairs[60:] = [(src, "") for src, _ in pairs[60:]]
    return train_tokenizers(lambda: iter(pairs), section)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("options", [{}, {"byte_fallback": True}, {"lowercase": True}])
def test_a_target_has_the_first_of_joint_pieces(kind, options, tmp_path):
    whole, two = train_two(0, kind, **options), train_two(1, kind, **options)
    assert whole.src is whole.tgt
    assert EOS < len(two.tgt) < len(two.src) == len(whole.src)
    assert two.src.vocabulary[: len(two.tgt)] == two.tgt.vocabulary and two.are_joint
    assert {*two.src.vocabulary} == {*whole.src.vocabulary}
    seen = LINES[:60]
    for lines in (LINES, seen):  # the source is cut as before
        pieces = [two.src.pieces(row) for row in two.src.encode(lines)]
        assert pieces == [whole.src.pieces(row) for row in whole.src.encode(lines)]
    ids = two.tgt.encode(LINES)
    assert max(max(row) for row in ids) < len(two.tgt)
    assert UNK not in itertools.chain(*ids)
    assert two.tgt.decode(ids) == whole.tgt.decode(whole.tgt.encode(LINES))
    save_tokenizers(two, tmp_path)
    loaded = load_tokenizers(tmp_path)
    assert (loaded.src.vocabulary, loaded.tgt.vocabulary) == tuple(
        side.vocabulary for side in (two.src, two.tgt)
    )
    assert loaded.tgt.encode(LINES) == ids
    given = Tokenizers.joint(Tokenizer.load(tmp_path / "joint.model"))
    assert given.tgt.vocabulary == two.tgt.vocabulary


def test_a_target_is_spelt_as_before_unless_pieces_are_rare():
    targets = [" ".join(reversed(src[: len(src) // 2].split())) for src in LINES[:60]]
    whole, one, many = (train_two(count) for count in (0, 1, 20))
    cut = [whole.tgt.pieces(row) for row in whole.tgt.encode(targets)]
    assert [one.tgt.pieces(row) for row in one.tgt.encode(targets)] == cut
    counts = Counter(itertools.chain(*cut))
    for tokenizers, least in ((one, 1), (many, 20)):
        pieces = {*tokenizers.tgt.vocabulary[EOS + 1 :]}
        needed = {p for p in whole.src.vocabulary if counts[p] >= least or len(p) == 1}
        assert needed <= pieces and len(pieces - needed) < OUTPUT_MULTIPLE
        assert len(tokenizers.tgt) % OUTPUT_MULTIPLE == 0
    assert len(many.tgt) < len(one.tgt)
    assert many.tgt.decode(many.tgt.encode(targets)) == targets


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("options", [{}, {"pad_id": 3}, {"bos_id": -1, "eos_id": -1}])
def test_models_with_other_special_ids_are_renumbered(kind, options):
    model = foreign_model(kind, hard_vocab_limit=False, **options)
    tokenizer = Tokenizer(model)
    original = sentencepiece.SentencePieceProcessor(model_proto=model)
    ids = tokenizer.encode(LINES)
    assert min(min(row) for row in ids) > EOS
    assert max(max(row) for row in ids) < len(tokenizer)
    assert [tokenizer.pieces(row) for row in ids] == original.encode(LINES, out_type=str)
    assert tokenizer.decode([[BOS, *row, EOS, PAD] for row in ids]) == LINES
    assert tokenizer.encode(["\u2603"])[0][-1] == UNK


@pytest.mark.parametrize("kind", TYPES)
def test_reversed_ids_are_the_same_text(kind, tokenizers):
    plain, turned = tokenizers[kind], tokenizers[kind].reversed()
    ids = turned.encode(LINES)
    assert ids == [row[::-1] for row in plain.encode(LINES)]
    assert turned.decode([[BOS, *row, EOS, PAD] for row in ids]) == LINES
    for amount in (0.0, 0.3):
        samples = [turned.sample(line, amount, 5) for line in LINES[:50]]
        assert samples == [plain.sample(line, amount, 5)[::-1] for line in LINES[:50]]
    assert turned.reversed().encode(LINES) == plain.encode(LINES)


def test_reversed_bytes_and_foreign_ids_are_the_same_text():
    turned = train(byte_fallback=True, vocab_size=400).reversed()
    texts = ["\u2603 \U0001f600", "a\u0301\u2028b", LINES[0]]
    assert turned.decode(turned.encode(texts)) == texts
    turned = Tokenizer(foreign_model("bpe", hard_vocab_limit=False, pad_id=3)).reversed()
    assert turned.decode(turned.encode(LINES)) == LINES


@pytest.mark.parametrize("kind", ["unigram", "bpe", "char"])
@pytest.mark.parametrize("turned", [False, True])
def test_no_space_stands_before_scripts_without_spaces(kind, turned):
    signs = [chr(0x4E00 + i) for i in range(12)]
    lines = ["".join(RNG.choices(signs, k=RNG.randint(1, 5))) for _ in range(200)]
    tokenizer = train([*lines, *LINES[:50]], type=kind, vocab_size=100)
    tokenizer = tokenizer.reversed() if turned else tokenizer
    before = tokenizer.encode(["ba"])[0]
    for phrase in [*lines[:50], WORDS[0]]:
        (ids,) = tokenizer.encode_within([phrase])
        both = [*ids, *before] if turned else [*before, *ids]
        space = "" if phrase in lines else " "
        assert tokenizer.decode([both]) == [f"ba{space}{phrase}"]
        assert tokenizer.decode([ids]) == [phrase]
    assert tokenizer.encode_within([""]) == [[]]


@pytest.mark.parametrize("kind", [*TYPES, "bytes"])
@pytest.mark.parametrize("turned", [False, True])
def test_ids_spell_the_text(kind, turned, tokenizers):
    given = {} if kind == "bytes" else {"type": kind}
    tokenizer = train(**given, byte_fallback=kind == "bytes", vocab_size=400)
    tokenizer = tokenizer.reversed() if turned else tokenizer
    spellings = tokenizer.spellings
    assert [spellings[i] for i in (PAD, BOS, EOS)] == ["", "", " "]
    for seed, line in enumerate(LINES[:50]):
        text = "".join(spellings[i] for i in tokenizer.sample(line, 0.3, seed))
        assert (text[::-1] if turned else text).strip() == line
    if kind == "bytes":
        odd = [spellings[i] for i in tokenizer.encode(["\u2603"])[0]]
        assert len({*odd}) == len(odd) >= 3 and all(len(text) == 1 for text in odd)


def test_unusable_models(tmp_path):
    with pytest.raises(DataError, match=r"none\.model: cannot be read"):
        Tokenizer.load(tmp_path / "none.model")
    (tmp_path / "bad.model").write_bytes(b"no model at all")
    with pytest.raises(DataError, match=r"bad\.model: no SentencePiece model"):
        Tokenizer.load(tmp_path / "bad.model")
    with pytest.raises(DataError, match="prepare the run first"):
        load_tokenizers(tmp_path)


@pytest.mark.parametrize("kind", TYPES)
def test_sampling_is_a_function_of_its_arguments(kind, tokenizers):
    tokenizer = tokenizers[kind]
    jobs = [(line, 0.3, seed) for seed, line in enumerate(LINES)]
    expected = [tokenizer.sample(*job) for job in jobs]
    shuffled = random.Random().sample(range(len(jobs)), len(jobs))
    random.seed(0)
    fresh = Tokenizer(tokenizer.serialize())
    with ThreadPoolExecutor(4) as pool:
        again = dict(
            zip(shuffled, pool.map(lambda i: fresh.sample(*jobs[i]), shuffled), strict=True)
        )
    assert [again[i] for i in range(len(jobs))] == expected


@pytest.mark.parametrize("kind", TYPES)
def test_samples_are_segmentations_of_the_text(kind, tokenizers):
    tokenizer = tokenizers[kind]
    samples = [tokenizer.sample(line, 0.2, seed) for seed, line in enumerate(LINES)]
    assert tokenizer.decode(samples) == LINES
    assert [tokenizer.sample(line, 0.0, 1) for line in LINES] == tokenizer.encode(LINES)
    varied = sum(a != b for a, b in zip(samples, tokenizer.encode(LINES), strict=True))
    assert varied > 0.5 * len(LINES) if kind in ("bpe", "unigram") else varied == 0


@pytest.mark.parametrize("options", [{}, {"byte_fallback": True}, {"split_by_whitespace": False}])
def test_bpe_sampling_without_a_skip_is_plain_encoding(options):
    model = foreign_model("bpe", hard_vocab_limit=False, **options | {"vocab_size": 500})
    tokenizer = Tokenizer(model)
    texts = [*LINES, "", "\u2603\u2603 x\u2603", "\u2603 \u2603", "unseen Ωords\u2581q"]
    almost_never = 1e-300
    assert [tokenizer.sample(text, almost_never, 1) for text in texts] == tokenizer.encode(texts)


def test_cold_unigram_sampling_is_plain_encoding(tokenizers):
    tokenizer = tokenizers["unigram"]
    texts = [*LINES, "\u2603\u2603 ba\u2603", ""]
    assert [tokenizer.sample(text, 1e6, 1) for text in texts] == tokenizer.encode(texts)


def test_bpe_with_all_merges_skipped_spells(tokenizers):
    tokenizer = tokenizers["bpe"]
    spelled = tokenizer.pieces(tokenizer.sample("ba ko", 1.0, 3))
    assert spelled == ["\u2581", "b", "a", "\u2581", "k", "o"]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("kind", [*TYPES, "bytes", "foreign"])
def test_pieces_can_be_filled_in_and_joined(kind, turned, tokenizers):
    if kind == "bytes":
        tokenizer = train(type="bpe", vocab_size=500, byte_fallback=True)
    elif kind == "foreign":
        tokenizer = Tokenizer(foreign_model("bpe", normalization_rule_name="identity"))
    else:
        tokenizer = tokenizers[kind]
    tokenizer = tokenizer.reversed() if turned else tokenizer
    texts = [*LINES[:20], "", f"{WORDS[0]} \u2603 {WORDS[1]}", f"{WORDS[0]} \u2603\u2603", "\u2603"]
    for text, ids in zip(texts, tokenizer.encode(texts), strict=True):
        surfaces = tokenizer.surfaces(text)
        assert len(surfaces) == len(ids)
        unknown = [
            piece.strip("\u2581") for piece, i in zip(surfaces, ids, strict=True) if i == UNK
        ]
        assert tokenizer.join(tokenizer.fill_unknown(ids, unknown)) == text
        assert all(set(word) == {"\u2603"} for word in unknown)
        (plain,) = tokenizer.decode([ids])
        unfilled = tokenizer.join(tokenizer.fill_unknown(ids, []))
        # Where the model itself puts spaces around what it doesn't know, they are left out.
        assert unfilled == " ".join(plain.split()) or kind == "foreign"


@pytest.mark.parametrize("kind", [*TYPES, "foreign"])
def test_what_is_filled_in_is_no_special_piece(kind, tokenizers):
    tokenizer = Tokenizer(foreign_model("bpe")) if kind == "foreign" else tokenizers[kind]
    (ids,) = tokenizer.encode([WORDS[0]])
    glued = " " if kind == "word" else ""
    for text in ("</s>", "<s>", "<unk>", "<pad>", "<0x41>"):
        pieces = tokenizer.fill_unknown([*ids, UNK], [text])
        assert tokenizer.join(pieces) == f"{WORDS[0]}{glued}{text}"
