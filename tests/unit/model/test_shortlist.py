import pytest
import torch
from tiny import SRC_VOCAB, TGT_VOCAB, build_model, random_source

from seq2seq.model.ensemble import Ensemble
from seq2seq.model.precision import for_search
from seq2seq.model.shortlist import Shortlister
from seq2seq.search.beam import beam_search
from seq2seq.special import BOS, EOS, PAD, UNK

PIECES = torch.randint(EOS + 1, TGT_VOCAB, (SRC_VOCAB, 2))


@pytest.mark.parametrize("joint", [False, True])
def test_each_sentence_has_its_own_tokens(joint):
    shortlister = Shortlister(PIECES, torch.tensor([5]), SRC_VOCAB, joint=joint)
    src, _ = random_source([6, 2, 4])
    found = shortlister(src)
    for row, allowed in zip(src.tolist(), found.allowed, strict=True):
        expected = {UNK, EOS, 5} | {p for i in row if i != PAD for p in PIECES[i].tolist()}
        expected |= set(row) - {PAD} if joint else set()
        assert set(found.ids[allowed].tolist()) == expected
    assert found.ids.tolist() == sorted({*found.ids.tolist(), PAD, UNK, BOS, EOS})
    kept = found.select(torch.tensor([2, 0]))
    assert torch.equal(kept.allowed, found.allowed[[2, 0]])


def test_what_a_target_of_fewer_joint_tokens_lacks_is_not_listed():
    src, _ = random_source([6, 2, 4])
    size = int(src.max())  # without the last of them
    found = Shortlister(PIECES.clamp(max=size - 1), torch.tensor([5]), size, joint=True)(src)
    assert set(src.flatten().tolist()) - {PAD, size} <= set(found.ids.tolist())
    assert int(found.ids.max()) < size
    for row, allowed in zip(src.tolist(), found.allowed, strict=True):
        assert set(row) - {PAD, size} <= set(found.ids[allowed].tolist())


@pytest.mark.parametrize("num_models", [1, 2])
def test_neighbours_change_nothing_and_only_listed_tokens_are_found(num_models):
    models = [for_search(build_model(), "float32") for _ in range(num_models)]
    shortlister = Shortlister(PIECES[:, :1], torch.tensor([4]), TGT_VOCAB, joint=False)

    def search(src, lengths):
        listed = shortlister(src)
        ensemble = Ensemble(models).narrow(listed.ids)
        return beam_search(
            ensemble.step,
            ensemble.encode([(src, lengths)] * num_models, listed),
            torch.full((len(src),), 7),
            beam_size=3,
            n_best=3,
        ), listed.ids.tolist()

    src, lengths = random_source([5, 3, 4, 2])
    with torch.inference_mode():
        together, ids = search(src, lengths)
        for row, hypotheses in enumerate(together):
            own = src[row : row + 1, : lengths[row]]
            (alone,), own_ids = search(own, lengths[row : row + 1])
            outputs = [[ids[i] for i in h.tokens] for h in hypotheses]
            assert [[own_ids[i] for i in h.tokens] for h in alone] == outputs
            assert [h.score for h in alone] == pytest.approx([h.score for h in hypotheses])
            listed = shortlister(own)
            allowed = set(listed.ids[listed.allowed[0]].tolist())
            assert all(set(tokens) <= allowed for tokens in outputs)
