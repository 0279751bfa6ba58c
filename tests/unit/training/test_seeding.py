import itertools

import torch

from seq2seq.training.seeding import seed_update


def numbers(*where: int) -> tuple[float, ...]:
    seed_update(*where)
    return tuple(torch.rand(8).tolist())


def test_numbers_are_those_of_the_update_whatever_was_drawn_before():
    first = numbers(1, 2, 0)
    torch.rand(3)
    assert numbers(1, 2, 0) == first


def test_no_two_updates_seeds_or_processes_share_them():
    places = list(itertools.product(range(8), range(8), range(8)))
    found = torch.tensor([numbers(*place) for place in places])
    assert len(found.unique(dim=0)) == len(places)
    # Neighbours aren't alike either: their correlations are those of chance.
    spread = torch.corrcoef(found).fill_diagonal_(0)
    assert spread.mean().abs() < 0.02
