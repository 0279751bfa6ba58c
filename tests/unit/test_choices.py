from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from corpora import (
    CORPORA,
    FRENCH,
    GERMAN,
    ICELANDIC,
    MULTI30K,
    QUICKSTART,
    SIZES,
    WORDS,
    symbols,
    text,
)

from seq2seq.choices import choose, open_keys
from seq2seq.data.statistics import Side, Statistics
from seq2seq.errors import SettingsError
from seq2seq.keys import walk
from seq2seq.recipe import Recipe, changed_keys, dump_recipe, load_recipe
from seq2seq.sections.conflicts import find_conflicts
from seq2seq.sizes import OUTPUT_MULTIPLE, RATES

ROOT = Path(__file__).resolve().parents[2]
DATA = "data: {src: en, tgt: de, train: hub:x, dev: hub:x}\n"
SHIPPED = {
    "multi30k/en-de": MULTI30K,
    "multi30k/hub": MULTI30K,
    "characters/fre": FRENCH,
    "characters/ice": ICELANDIC,
    "quickstart/quickstart": QUICKSTART,
}


def load(folder: Path, *overrides: str, text: str = DATA) -> Recipe:
    file = folder / "r.yaml"
    file.write_text(text, encoding="utf-8")
    return load_recipe(file, overrides, check_files=False)


def value(recipe: Recipe, key: str) -> Any:
    found: Any = recipe
    for name in key.split("."):
        found = getattr(found, name)
    return found


def updates(recipe: Recipe, corpus: Statistics) -> float:
    training = recipe.training
    return training.max_epochs * corpus.pairs / training.batch_size / training.accumulate


def test_every_marked_key_is_chosen_and_no_other(tmp_path: Path) -> None:
    marked = {".".join(map(str, key.path)) for key in walk(Recipe) if key.chosen_from}
    recipe = load(tmp_path)
    assert set(open_keys(recipe)) == marked
    for corpus in CORPORA:
        assert set(choose(recipe, corpus).reasons) == marked


@pytest.mark.parametrize("corpus", CORPORA[::3])
def test_choices_are_legal_and_survive_saving(corpus: Statistics, tmp_path: Path) -> None:
    completed = choose(load(tmp_path), corpus)
    saved = dump_recipe(completed.recipe, completed.reasons)
    again = load(tmp_path, text=saved)
    assert again == completed.recipe
    assert open_keys(again) == []
    commented = [line.split(":")[0].strip() for line in saved.split("\n") if "# chosen: " in line]
    assert sorted(commented) == sorted(key.split(".")[-1] for key in completed.reasons)


def test_the_same_again_and_nothing_more_to_choose(tmp_path: Path) -> None:
    first = choose(load(tmp_path), MULTI30K)
    assert choose(load(tmp_path), MULTI30K) == first
    assert open_keys(first.recipe) == []
    assert choose(first.recipe, symbols(50)).recipe == first.recipe
    assert choose(first.recipe, symbols(50)).reasons == {}


@pytest.mark.parametrize("kind", [text, symbols])
def test_more_text_never_takes_less_of_a_network(kind: Any, tmp_path: Path) -> None:
    recipes = [choose(load(tmp_path), kind(pairs)).recipe for pairs in SIZES]
    rising = ["tokenizer.vocab_size", "training.batch_size", "training.ema_decay"]
    for part in ("encoder", "decoder"):
        rising += [f"model.{part}.{key}" for key in ("embedding_dim", "hidden_size", "num_layers")]
    falling = ["model.dropout", "training.src_word_dropout", "training.learning_rate"]
    for smaller, larger in pairwise(recipes):
        assert [key for key in rising if value(smaller, key) > value(larger, key)] == []
        assert [key for key in falling if value(smaller, key) < value(larger, key)] == []


@pytest.mark.parametrize("overrides", [[], ["training.batch_size=7"], ["training.accumulate=3"]])
def test_updates_are_enough_and_grow_slower_than_the_text(
    overrides: list[str], tmp_path: Path
) -> None:
    recipe = load(tmp_path, *overrides)
    for corpus in CORPORA:
        completed = choose(recipe, corpus).recipe
        made = updates(completed, corpus)
        enough = max(5000, 18_000 * (corpus.pairs / 29_000) ** 0.5)
        one_epoch = made / completed.training.max_epochs
        assert made >= min(enough, 300 * one_epoch)
        assert made <= enough + one_epoch


@pytest.mark.parametrize("corpus", [text(29_000), text(10**6), symbols(800)])
def test_batches_of_tokens_are_as_large_as_those_of_sentences(
    corpus: Statistics, tmp_path: Path
) -> None:
    sentences = choose(load(tmp_path), corpus).recipe.training
    tokens = choose(load(tmp_path, "training.batch_type=tokens"), corpus).recipe.training
    assert 1 < tokens.batch_size / sentences.batch_size / corpus.tgt.words < 2
    assert tokens.max_epochs == pytest.approx(sentences.max_epochs, abs=1)


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize("accumulate", [1, 4])
def test_validations_are_neither_many_nor_few(
    corpus: Statistics, accumulate: int, tmp_path: Path
) -> None:
    recipe = choose(load(tmp_path, f"training.accumulate={accumulate}"), corpus).recipe
    chosen, epochs = recipe.training.validate_every, recipe.training.max_epochs
    epoch = max(1.0, updates(recipe, corpus) / epochs)
    made, every = epochs * epoch, chosen or epoch
    pairs = every * recipe.training.batch_size * accumulate
    # Half or twice as much is allowed for an epoch, and a little for rounding.
    assert pairs > 4_900 or made / every < 11
    assert made / every > 2.4
    assert every < 10_001
    assert (chosen is None) or not 0.55 * every < epoch < 1.9 * every


def test_validations_go_by_the_limits(tmp_path: Path) -> None:
    def every(*overrides: str) -> int | None:
        return choose(load(tmp_path, *overrides), text(800)).recipe.training.validate_every

    assert every() == 620
    assert every("training.max_updates=2000") == 400
    assert every("training.max_updates=20") is None
    assert every("training.max_epochs=5") is None
    assert every("training.validate_every=null") is None
    for given, expected in {(): 77, ("training.validate_every=8",): 8}.items():
        found = choose(load(tmp_path, *given), text(800), kept={"training.validate_every": 77})
        assert found.recipe.training.validate_every == expected


def test_a_choice_that_is_kept_is_told_to_conflict(tmp_path: Path) -> None:
    copies = choose(load(tmp_path), GERMAN)
    assert copies.recipe.model.decoder.copy_attention
    wish = load(tmp_path, "decoding.shortlist=20")
    assert not choose(wish, GERMAN).recipe.model.decoder.copy_attention
    kept = {key: value(copies.recipe, key) for key in open_keys(wish)}
    with pytest.raises(SettingsError, match=r"^decoding\.shortlist: has no part in a model that c"):
        choose(wish, GERMAN, kept=kept)


def test_weights_are_averaged_over_a_part_of_training(tmp_path: Path) -> None:
    recipe = load(tmp_path)
    for corpus in CORPORA:
        found = choose(recipe, corpus)
        averaged = 1 / (1 - found.recipe.training.ema_decay)
        made = max(updates(found.recipe, corpus), found.recipe.training.max_epochs)
        assert averaged <= 0.11 * made
    few = choose(recipe, text(20))
    assert few.reasons["training.max_epochs"] == "375 updates for 20 pairs"
    assert few.reasons["training.ema_decay"] == "about 375 updates"
    # Limits may change in a run that is started again, the average may not.
    for limit in ("training.max_epochs=9", "training.max_updates=99"):
        again = choose(load(tmp_path, limit), text(20)).recipe
        assert again.training.ema_decay == few.recipe.training.ema_decay


def test_weights_that_are_to_be_zero_are_not_averaged(tmp_path: Path) -> None:
    found = choose(load(tmp_path, "training.l1=1e-4"), MULTI30K)
    assert found.recipe.training.ema_decay == 0
    assert "l1" in found.reasons["training.ema_decay"]
    given = choose(load(tmp_path, "training.l1=1e-4", "training.ema_decay=0.9"), MULTI30K)
    assert given.recipe.training.ema_decay == 0.9


def test_one_pair_is_no_pairs(tmp_path: Path) -> None:
    reasons = choose(load(tmp_path), text(1)).reasons.values()
    assert "1 pair of text" in reasons
    assert not [reason for reason in reasons if "1 pairs" in reason]


def test_given_updates_are_made(tmp_path: Path) -> None:
    recipe = choose(load(tmp_path, "training.max_updates=90000"), MULTI30K).recipe
    assert updates(recipe, MULTI30K) > 1.5 * 90_000


def test_given_values_win(tmp_path: Path) -> None:
    file = tmp_path / "base.yaml"
    file.write_text(DATA + "model: {dropout: 0.11}\ntraining: {batch_size: 99}\n", encoding="utf-8")
    recipe = load(
        tmp_path,
        "training.batch_size=77",
        "tokenizer.joint=false",
        text="base: base.yaml\nmodel: {tied_embeddings: null, encoder: {hidden_size: 256}}\n",
    )
    completed = choose(recipe, symbols(3000, shared_letters=1))
    expected = {
        "model.dropout": 0.11,
        "training.batch_size": 77,
        "tokenizer.joint": False,
        "model.tied_embeddings": None,
        "model.encoder.hidden_size": 256,
    }
    assert {key: value(completed.recipe, key) for key in expected} == expected
    assert not expected.keys() & completed.reasons.keys()


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.tied_embeddings=three_way"],
        ["model.encoder.embedding_dim=100"],
        ["tokenizer.joint=false"],
        ["tokenizer.sampling=0.1"],
        ["model.decoder.attention=dot"],
        ["model.decoder.attention=dot", "model.encoder.bidirectional=false",
         "model.encoder.hidden_size=512"],
        ["model.bridge=copy"],
        ["model.bridge=copy", "model.decoder.num_layers=1"],
        ["model.bridge=copy", "model.encoder.num_layers=2"],
        ["model.bridge=copy", "model.encoder.num_layers=3", "model.decoder.residual=true"],
        ["model.encoder.pyramid_layers=1"],
        ["model.encoder.pyramid_layers=2"],
        ["training.optimizer=sgd", "training.momentum=0.9"],
        ["training.min_learning_rate=1e-3"],
        ["tokenizer={src_model: a, tgt_model: b, joint: false}"],
        ["tokenizer.model=a"],
    ],
)  # fmt: skip
def test_what_goes_together_stays_together(overrides: list[str], tmp_path: Path) -> None:
    recipe = load(tmp_path, *overrides)
    for corpus in CORPORA:
        completed = choose(recipe, corpus)
        assert list(find_conflicts(completed.recipe)) == []
        assert set(changed_keys(recipe, completed.recipe)) <= set(open_keys(recipe))
        assert set(completed.reasons) <= set(open_keys(recipe))


def test_layers_follow_what_is_given_beside_them(tmp_path: Path) -> None:
    def layers(corpus: Statistics, *overrides: str) -> tuple[int, int]:
        model = choose(load(tmp_path, *overrides), corpus).recipe.model
        return model.encoder.num_layers, model.decoder.num_layers

    copy = "model.bridge=copy"
    assert layers(text(800), copy) == (1, 1)
    assert layers(symbols(9000), copy) == layers(text(10**8), copy) == (2, 2)
    assert layers(text(800), copy, "model.decoder.num_layers=3") == (3, 3)
    assert layers(text(800), copy, "model.encoder.num_layers=3") == (3, 3)
    assert layers(text(800), "model.encoder.pyramid_layers=1") == (2, 1)
    assert layers(text(800), "model.encoder.pyramid_layers=2") == (3, 1)


def test_the_nature_of_the_text_decides_how_it_is_cut(tmp_path: Path) -> None:
    def cut(corpus: Statistics) -> tuple[str, bool]:
        tokenizer = choose(load(tmp_path), corpus).recipe.tokenizer
        return tokenizer.type, tokenizer.joint

    assert cut(MULTI30K) == ("bpe", True)
    assert cut(replace(MULTI30K, shared_letters=0.02)) == ("bpe", False)
    assert cut(FRENCH) == cut(ICELANDIC) == ("word", True)
    commands = Statistics(9000, Side(7, 41, 13, 21, 0), Side(14, 143, 6, 19, 0), 0, 0, 0)
    assert cut(commands) == ("word", False)
    letters = replace(FRENCH, pairs=30, shared_letters=0.97)
    assert cut(letters) == ("word", True)
    phrases = Statistics(40, Side(5, 25, 120, 40, 0.1), Side(5, 25, 130, 45, 0.1), 0.98, 0, 0)
    assert cut(phrases) == ("bpe", True)
    assert cut(Statistics(9000, WORDS, FRENCH.tgt, 0.3, 0, 0.2)) == ("char", False)
    chinese = Side(1.1, 21, 90_000, 4000, 0.0)
    assert cut(Statistics(100_000, MULTI30K.src, chinese, 0.1, 0, 0)) == ("bpe", False)


def test_a_short_sentence_without_spaces_is_no_word(tmp_path: Path) -> None:
    def cut(src: Side, tgt: Side, copied: float = 0.0) -> str:
        corpus = Statistics(1000, src, tgt, 0.5, 0, copied)
        return choose(load(tmp_path), corpus).recipe.tokenizer.type

    english, thai = Side(5.5, 31, 861, 40, 0.05), Side(1.0, 18.9, 1000, 44, 0.0)
    assert cut(english, thai) == cut(thai, english) == "bpe"
    assert cut(Side(1.0, 12, 950, 400, 0.0), thai) == "bpe"
    # A lemma with its tags, in one word or in several, and a word with its sounds.
    form = Side(1.0, 9, 950, 30, 0.0)
    assert cut(Side(2.0, 14, 700, 45, 0.0), form) == "char"
    assert cut(Side(5.0, 20, 700, 45, 0.2), form, copied=0.8) == "char"
    assert cut(form, FRENCH.tgt) == cut(FRENCH.tgt, form) == "char"


def test_short_sentences_without_spaces_on_both_sides_are_no_words(tmp_path: Path) -> None:
    def cut(characters: float) -> str:
        side = Side(1.0, characters, 950, 60, 0.0)
        corpus = Statistics(1000, side, side, 0.0, 0, 0, tgt_unspaced=1.0)
        return choose(load(tmp_path), corpus).recipe.tokenizer.type

    assert cut(15) == "bpe"
    assert cut(6) == "char"


def test_text_that_is_there_many_times_has_no_fewer_words(tmp_path: Path) -> None:
    side = Side(9, 50, 417, 40, 0.05)
    corpus = Statistics(1200, side, side, 1, 0, 0.7, repeated=0.95)
    assert choose(load(tmp_path), corpus).recipe.tokenizer.type == "bpe"
    assert choose(load(tmp_path), replace(corpus, repeated=0.0)).recipe.tokenizer.type == "word"


def test_words_that_are_to_be_cut_are(tmp_path: Path) -> None:
    names = Statistics(500, replace(WORDS, distinct_words=500), FRENCH.tgt, 0.3, 0, 0.2)
    for overrides in (["tokenizer.type=bpe"], ["tokenizer.type=unigram"], ["tokenizer.sampling=1"]):
        tokenizer = choose(load(tmp_path, *overrides), names).recipe.tokenizer
        assert tokenizer.type in ("bpe", "unigram")
        assert tokenizer.vocab_size < 500


def test_rates_are_those_of_the_optimizer(tmp_path: Path) -> None:
    for optimizer, (_, usual, _) in RATES.items():
        found = choose(load(tmp_path, f"training.optimizer={optimizer}"), MULTI30K)
        sized = optimizer in ("adam", "adamw")
        assert found.recipe.training.learning_rate == (2e-3 if sized else usual)
        reason = "29,000 pairs of text" if sized else f"usual for {optimizer}"
        assert found.reasons["training.learning_rate"] == reason


def test_symbols_are_judged_by_whole_lines(tmp_path: Path) -> None:
    def judged(corpus: Statistics, *overrides: str) -> tuple[str, tuple[str, ...]]:
        recipe = choose(load(tmp_path, *overrides), corpus).recipe
        return recipe.training.early_stopping_metric, recipe.evaluation.metrics

    assert judged(MULTI30K) == ("bleu", ("bleu", "chrf"))
    assert judged(FRENCH) == ("accuracy", ("accuracy", "wer"))
    assert judged(Statistics(9000, WORDS, WORDS, 1, 0, 0.7)) == ("accuracy", ("accuracy", "cer"))
    assert judged(FRENCH, "evaluation.metrics=[bleu]") == ("accuracy", ("bleu",))


def test_bleu_counts_characters_of_targets_without_spaces(tmp_path: Path) -> None:
    def counted(corpus: Statistics, *overrides: str) -> str:
        return choose(load(tmp_path, *overrides), corpus).recipe.evaluation.tokenize

    characters = Side(1.1, 21, 90_000, 4000, 0.0)
    chinese = replace(MULTI30K, tgt=characters, tgt_unspaced=0.97, tgt_han=0.97)
    assert counted(MULTI30K) == "13a"
    assert counted(chinese) == "zh"
    assert counted(replace(chinese, tgt_han=0.5)) == "char"
    assert counted(chinese, "evaluation.tokenize=intl") == "intl"
    assert counted(replace(chinese, tgt=replace(characters, words=14))) == "13a"
    assert choose(load(tmp_path), chinese).reasons["evaluation.tokenize"] == (
        "a space in 19 characters"
    )
    # Symbols and single words are judged as they were.
    assert counted(Statistics(9000, WORDS, WORDS, 1, 0, 0.7, tgt_unspaced=1)) == "13a"
    assert counted(replace(FRENCH, tgt_unspaced=1, tgt_han=1)) == "13a"


def test_symbols_are_copied_where_most_of_them_can_be(tmp_path: Path) -> None:
    def copies(corpus: Statistics, *overrides: str) -> bool:
        return choose(load(tmp_path, *overrides), corpus).recipe.model.decoder.copy_attention

    assert copies(GERMAN)
    assert not copies(FRENCH)
    assert not copies(replace(GERMAN, copied_words=0.6))
    assert not copies(replace(GERMAN, shared_letters=0.1))  # no common vocabulary
    assert not copies(replace(MULTI30K, copied_words=0.9, copied_characters=0.9))
    letters = Statistics(9000, WORDS, WORDS, 1, 0, 0.7)
    assert copies(letters)
    assert not copies(letters, "model.decoder.copy_attention=false")
    assert not copies(letters, "decoding.shortlist=20")
    assert not copies(letters, "tokenizer.joint=false")


def test_what_copies_copies_unknown_symbols(tmp_path: Path) -> None:
    def chosen(corpus: Statistics, *overrides: str) -> tuple[bool, bool]:
        decoding = choose(load(tmp_path, *overrides), corpus).recipe.decoding
        return decoding.ban_unk, decoding.replace_unk

    assert chosen(GERMAN) == (False, True)
    assert chosen(FRENCH) == chosen(MULTI30K) == (True, False)
    assert chosen(MULTI30K, "model.decoder.copy_attention=true") == (False, True)
    assert chosen(GERMAN, "decoding.ban_unk=true") == (True, False)
    assert chosen(GERMAN, "decoding.replace_unk=false") == (False, False)


def test_what_copies_gets_another_layer_and_more_dropout(tmp_path: Path) -> None:
    few = replace(GERMAN, pairs=1000)
    copying = choose(load(tmp_path), few).recipe.model
    other = choose(load(tmp_path, "model.decoder.copy_attention=false"), few).recipe.model
    assert (copying.decoder.num_layers, copying.dropout) == (2, 0.5)
    assert (other.decoder.num_layers, other.dropout) == (1, 0.3)
    given = choose(load(tmp_path, "model.decoder.copy_attention=true"), symbols(1000))
    assert given.recipe.model == copying
    assert given.reasons["model.dropout"] == "1,000 pairs of symbols, some of them copied"


@pytest.mark.parametrize(
    "given", ["model.decoder.attention=monotonic", "decoding.shortlist=9", "tokenizer.joint=false"]
)
def test_where_nothing_can_be_copied_sizes_are_those_of_other_symbols(
    given: str, tmp_path: Path
) -> None:
    found = choose(load(tmp_path, given), replace(GERMAN, pairs=1000))
    assert not found.recipe.model.decoder.copy_attention
    assert (found.recipe.model.decoder.num_layers, found.recipe.model.dropout) == (1, 0.3)
    assert found.reasons["model.dropout"] == "1,000 pairs of symbols"


def test_text_is_attended_to_with_several_heads_unless_the_kind_of_attention_is_given(
    tmp_path: Path,
) -> None:
    def attention(corpus: Statistics, *overrides: str) -> tuple[str | None, int]:
        decoder = choose(load(tmp_path, *overrides), corpus).recipe.model.decoder
        return decoder.attention, decoder.attention_heads

    assert attention(MULTI30K) == ("scaled_dot", 8)
    assert attention(FRENCH) == attention(GERMAN) == ("luong", 1)
    for kind in ("luong", "bahdanau", "null"):
        given = f"model.decoder.attention={kind}", "model.decoder.feeding=null"
        assert attention(MULTI30K, *given) == (None if kind == "null" else kind, 1)
    assert attention(MULTI30K, "model.decoder.attention_heads=4") == ("scaled_dot", 4)
    # Heads have equal shares; and one alone would have to be as large as what it reads.
    assert attention(MULTI30K, "model.decoder.hidden_size=516") == ("luong", 1)


def test_small_text_has_a_lexical_model(tmp_path: Path) -> None:
    def lexical(corpus: Statistics, *overrides: str) -> bool:
        return choose(load(tmp_path, *overrides), corpus).recipe.model.decoder.lexical

    assert lexical(MULTI30K)
    assert not lexical(text(10**6))
    assert not lexical(GERMAN)
    assert not lexical(MULTI30K, "model.decoder.lexical=false")
    assert not lexical(MULTI30K, "model.decoder.attention=null", "model.decoder.feeding=null")


def test_german_inflection_gets_the_sizes_of_its_recipe(tmp_path: Path) -> None:
    given = ["model.decoder.deep_output=true"]
    chosen = choose(load(tmp_path, *given), GERMAN).recipe
    shipped = load_recipe(ROOT / "recipes/characters/deu.yaml", check_files=False)
    assert (chosen.tokenizer, chosen.model) == (shipped.tokenizer, shipped.model)


def test_few_words_take_few_pieces(tmp_path: Path) -> None:
    for words in (8000, 16_000, 16_001):
        side = replace(MULTI30K.src, distinct_words=words // 2)
        corpus = replace(MULTI30K, src=side, tgt=replace(side, distinct_words=words - words // 2))
        tokenizer = choose(load(tmp_path), corpus).recipe.tokenizer
        assert tokenizer.vocab_size == min(8000, words // 2 // OUTPUT_MULTIPLE * OUTPUT_MULTIPLE)


def test_every_character_and_symbol_has_room(tmp_path: Path) -> None:
    characters = Side(1.1, 21, 90_000, 4000, 0.0)
    few = Statistics(3000, MULTI30K.src, characters, 0.1, 0, 0)
    size = choose(load(tmp_path), few).recipe.tokenizer.vocab_size
    assert size >= 1.5 * 4000
    more = choose(load(tmp_path, "tokenizer.byte_fallback=true"), few).recipe.tokenizer.vocab_size
    assert more >= size + 256
    spaced = Side(20, 40, 9000, 9001, 1.0)
    assert (
        choose(
            load(tmp_path), Statistics(10**5, spaced, spaced, 0.5, 0, 0)
        ).recipe.tokenizer.vocab_size
        > 9000
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipes_say_what_their_results_were_made_with(name: str) -> None:
    recipe = load_recipe(ROOT / f"recipes/{name}.yaml", check_files=False)
    assert choose(recipe, SHIPPED[name]).recipe == recipe


def test_multi30k_and_pronunciation_get_what_was_measured(tmp_path: Path) -> None:
    multi30k = choose(load(tmp_path), MULTI30K).recipe
    shipped = load_recipe(ROOT / "recipes/multi30k/en-de.yaml", check_files=False)
    assert (multi30k.tokenizer, multi30k.model) == (shipped.tokenizer, shipped.model)
    assert changed_keys(multi30k.training, shipped.training) == ["validate_every"]
    icelandic = choose(load(tmp_path), ICELANDIC).recipe
    shipped = load_recipe(ROOT / "recipes/characters/ice.yaml", check_files=False)
    assert (icelandic.tokenizer, icelandic.model) == (shipped.tokenizer, shipped.model)
    changed = changed_keys(icelandic.training, shipped.training)
    assert changed == ["validate_every"]


def test_a_run_that_training_begins_with_keeps_its_sizes(tmp_path: Path) -> None:
    first = load(tmp_path, "model.encoder.hidden_size=99", "model.decoder.num_layers=3")
    first = choose(first, MULTI30K).recipe
    again = load(tmp_path, "training.init_from=runs/first", "model.decoder.num_layers=5")
    found = choose(again, symbols(10**6), first)
    changed = changed_keys(first.model, found.recipe.model)
    assert set(changed) == {"decoder.num_layers", "dropout"}
    assert found.reasons["model.encoder.hidden_size"] == "as in runs/first"


@pytest.mark.parametrize("kind", ["sentences", "tokens"])
def test_a_batch_size_that_is_to_be_found_is_that_of_the_corpus_until_it_is(
    kind: str, tmp_path: Path
) -> None:
    settings = [f"training.batch_type={kind}"]
    usual = choose(load(tmp_path, *settings), MULTI30K).recipe.training
    auto = load(tmp_path, *settings, "training.batch_size=auto")
    assert "training.batch_size" in open_keys(auto)
    first = choose(auto, MULTI30K)
    assert first.recipe.training == usual
    assert first.reasons["training.batch_size"].startswith("auto: ")
    found = choose(auto, MULTI30K, batch_size=4 * usual.batch_size).recipe.training
    assert found.batch_size == 4 * usual.batch_size
    # Half of the updates, of four times the pairs.
    assert found.max_epochs == pytest.approx(2 * usual.max_epochs, abs=2)
    assert found.learning_rate == usual.learning_rate


def test_a_batch_size_that_was_found_changes_nothing_that_is_given(tmp_path: Path) -> None:
    given = ["training.batch_size=50", "training.max_epochs=3"]
    recipe = load(tmp_path, *given)
    assert choose(recipe, MULTI30K, batch_size=800) == choose(recipe, MULTI30K)
