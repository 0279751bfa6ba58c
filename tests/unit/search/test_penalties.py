import pytest
import torch

from seq2seq.search.penalties import length_penalty


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 2.0])
def test_the_formula_of_wu_et_al(alpha):
    lengths = [1, 2, 7, 50]
    expected = [pow(5 + n, alpha) / pow(5 + 1, alpha) for n in lengths]
    assert [length_penalty(float(n), alpha) for n in lengths] == pytest.approx(expected)
    found = length_penalty(torch.tensor(lengths), alpha)
    assert found.tolist() == pytest.approx(expected)


def test_it_is_one_where_it_is_off_and_for_one_token():
    assert length_penalty(12.0, 0.0) == length_penalty(1.0, 1.3) == 1.0
