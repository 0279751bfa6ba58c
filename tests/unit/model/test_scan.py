import pytest
import torch

from seq2seq.model.scan import linear_scan


def loop(keep, new, start):
    states = []
    for t in range(keep.shape[1]):
        start = keep[:, t] * start + new[:, t]
        states.append(start)
    return torch.stack(states, dim=1)


def draw(steps, dtype=torch.float64):
    keep, new = torch.rand(2, steps, 3, dtype=dtype), torch.randn(2, steps, 3, dtype=dtype)
    return keep.requires_grad_(), new.requires_grad_(), torch.randn_like(new[:, 0]).requires_grad_()


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 13])
def test_states_and_gradients_are_those_of_the_loop(steps):
    ours = draw(steps)
    theirs = [part.detach().clone().requires_grad_() for part in ours]
    found, expected = linear_scan(*ours), loop(*theirs)
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(expected)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("share", [0.0, 1e-30, 1.0])
def test_gates_shut_or_open_for_long_lose_nothing(share):
    keep, new, start = draw(2000, torch.float32)
    with torch.no_grad():
        keep[:, ::3] = share
        new *= 1e-3
    found = linear_scan(keep, new, start)
    expected = loop(*(part.detach().double() for part in (keep, new, start)))
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-4)
    found.sum().backward()
    assert all(part.grad.isfinite().all() for part in (keep, new, start))
