import numpy as np
import pytest

from seq2seq.data.noise import Noise, build_noise, drop_words, shuffle
from seq2seq.recipe import Training
from seq2seq.special import BOS, EOS, PAD, UNK

LINES = np.arange(400)
EVERYTHING = Noise(src_word_dropout=0.3, tgt_word_dropout=0.4, src_shuffle=3, seed=7)


def sentences(rows: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of different ids, an end mark and padding."""
    lengths = np.random.default_rng().integers(1, longest + 1, rows)
    ids = np.tile(np.arange(longest) + EOS + 1, (rows, 1))
    ids[np.arange(longest) >= lengths[:, None]] = PAD
    ids[np.arange(rows), lengths - 1] = EOS
    return ids, lengths


def test_as_many_words_as_wanted_go_missing_and_no_marks():
    ids, _ = sentences(400, 40)
    ids[:, 0] = BOS
    draws = np.random.default_rng().random(ids.shape)
    dropped = drop_words(ids, 0.25, draws)
    words = ids > EOS
    assert (dropped[~words] == ids[~words]).all()
    assert set(np.unique(dropped[dropped != ids])) == {UNK}
    assert (dropped[words] == UNK).mean() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("distance", [1, 2, 5])
def test_words_move_so_far_and_no_farther(distance):
    ids, lengths = sentences(300, 12)
    draws = np.random.default_rng().random(ids.shape)
    ids[0], lengths[0], draws[0] = [*range(EOS + 1, EOS + 12), EOS], 12, [0.999, *[0.0] * 11]
    shuffled = shuffle(ids, lengths, distance, draws)
    farthest = 0
    for before, after, length in zip(ids, shuffled, lengths, strict=True):
        assert after[length - 1 :].tolist() == before[length - 1 :].tolist()
        assert sorted(after) == sorted(before)
        places = {word: i for i, word in enumerate(after[: length - 1])}
        moves = [abs(places[word] - i) for i, word in enumerate(before[: length - 1])]
        farthest = max([farthest, *moves])
    assert farthest == distance


def test_a_pair_has_the_same_noise_in_any_company():
    src, lengths = sentences(60, 14)
    tgt, _ = sentences(60, 14)
    lines, rounds = LINES[:60] * 1000, LINES[60:120]
    many = (
        EVERYTHING.on_source(src, lengths, rounds, lines),
        EVERYTHING.on_target(tgt, rounds, lines),
    )
    for i in range(60):
        width, row = lengths[i], slice(i, i + 1)
        alone = EVERYTHING.on_source(src[row, :width], lengths[row], rounds[row], lines[row])
        for mine, ours in zip(alone, many[0], strict=True):
            assert (mine == ours[row, :width]).all()
        alone = EVERYTHING.on_target(tgt[row, :9], rounds[row], lines[row])
        assert (alone == many[1][row, :9]).all()
    said, read = EVERYTHING.on_source(src, lengths, rounds + 1, lines)
    assert (said != many[0][0]).any() and set(read[said != read].tolist()) == {UNK}


@pytest.mark.parametrize("key", ["src_word_dropout", "tgt_word_dropout", "src_shuffle"])
def test_each_kind_by_itself_changes_its_side_only(key):
    assert build_noise(Training(), 1) is None
    noise = build_noise(Training.model_validate({key: 1 if key == "src_shuffle" else 0.5}), 1)
    assert noise is not None
    src, lengths = sentences(40, 10)
    said, read = noise.on_source(src, lengths, 0 * lengths, LINES[:40])
    assert (said != src).any() == (key == "src_shuffle")
    side = "src" if (read != src).any() else ""
    side += "tgt" if (noise.on_target(src, 0 * lengths, LINES[:40]) != src).any() else ""
    assert side == key[:3]
