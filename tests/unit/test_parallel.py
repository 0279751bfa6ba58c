"""What processes do together, each as a sum or a list that one process would have made."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch
from company import run_together

from seq2seq.parallel import ALONE, World, connected

TOGETHER = """
import json, sys, time
import torch
from torch import nn
from seq2seq import parallel

parallel.BUCKET_ENTRIES = 5
with parallel.connected() as world:
    done = []
    def act():
        time.sleep(0.3 * world.is_first)
        with open(sys.argv[1], "a") as file:
            file.write(f"{world.rank}")
    world.once(act)
    with open(sys.argv[1]) as file:
        once = file.read()
    world.wait()
    world.in_turn(act)
    world.wait()
    parameters = [nn.Parameter(torch.full((n,), float(world.rank))) for n in (2, 3, 4, 1, 7)]
    for number, parameter in enumerate(parameters):
        if number != 1:
            parameter.grad = torch.arange(float(len(parameter))) + number + 10 * world.rank
    world.sum_gradients(parameters)
    world.copy_weights(parameters)
    print(json.dumps({
        "total": world.total([1, 0.1 * world.rank]),
        "agreed": world.agree(world.rank + 7),
        "maps": [world.map(lambda n: [n, world.rank], range(n)) for n in (0, 1, 3, 8)],
        "once": once,
        "grads": [p.grad if p.grad is None else p.grad.tolist() for p in parameters],
        "weights": torch.cat(parameters).tolist(),
        "threads": torch.get_num_threads(),
    }))
"""


def test_three_processes(tmp_path):
    file = tmp_path / "acts"
    told = run_together(3, TOGETHER, str(file))
    assert [status for status, _, _ in told] == [0, 0, 0], told
    found = [json.loads(output) for _, output, _ in told]
    for one in found:
        assert one["total"] == pytest.approx([3, 0.3])
        assert one["agreed"] == 7
        assert one["maps"] == [[[i, i % 3] for i in range(n)] for n in (0, 1, 3, 8)]
        assert one["once"] == "0"
        sizes = enumerate((2, 3, 4, 1, 7))
        sums = [[3 * (i + n) + 30 for i in range(size)] for n, size in sizes]
        assert one["grads"] == [*sums[:1], None, *sums[2:]]
        assert set(one["weights"]) == {0.0}
        assert one["threads"] >= 1
    acts = file.read_text()
    assert acts[:2] == "00"
    assert sorted(acts) == list("0012")


FAILING = """
import sys, time
from seq2seq import cli, errors
from seq2seq.commands import score

def run(arguments):
    print("output")
    if arguments.world.rank == int(sys.argv[1]):
        raise {}
    arguments.world.wait()

cli.COMMANDS["score"].run = run
sys.exit(cli.main(["score", "a", "b"]))
"""


@pytest.mark.parametrize(
    ("rank", "error", "status", "says"),
    [
        (1, 'errors.DataError("x: bad; mend it")', 2, "x: bad; mend it\n"),
        (0, "KeyboardInterrupt", 130, ""),
    ],
)
def test_one_process_tells_what_is_wrong(rank: int, error: str, status: int, says: str) -> None:
    told = run_together(2, FAILING.format(error), str(rank))
    assert [output for _, output, _ in told] == ["output\n", ""]
    assert told[rank][0] == status
    assert told[1 - rank][0] == 2
    assert told[rank][2] == says
    assert told[1 - rank][2] == ""


def test_a_bug_shows_one_traceback() -> None:
    told = run_together(2, FAILING.format("ZeroDivisionError") + "\n", "1")
    assert "ZeroDivisionError" in told[1][2]
    assert told[0][1:] == ("output\n", "")


@pytest.mark.parametrize(("size", "address"), [("1", "127.0.0.1"), ("2", None)])
def test_a_process_alone_waits_for_nobody(
    monkeypatch: pytest.MonkeyPatch, size: str, address: str | None
) -> None:
    monkeypatch.setenv("WORLD_SIZE", size)
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    if address is not None:
        monkeypatch.setenv("MASTER_ADDR", address)
    with connected() as world:
        assert world == ALONE == World(rank=0, size=1)
        assert world.launcher == []
        assert world.total([1, 2.5]) == [1, 2.5]
        assert world.agree(3) == 3
        assert world.map(lambda n: 2 * n, [1, 2]) == [2, 4]
        assert world.in_turn(lambda: 5) == 5
        done: list[int] = []
        world.once(done.append, 1)
        assert done == [1]
        weight = torch.nn.Parameter(torch.ones(2))
        weight.grad = torch.ones(2)
        world.sum_gradients([weight])
        assert weight.grad.tolist() == [1, 1]


STORE = """
import os, sys
from seq2seq import parallel

os.environ |= {"WORLD_SIZE": "2", "RANK": sys.argv[1]}
try:
    with parallel.connected():
        import torch.distributed as dist
        store = dist.distributed_c10d._get_default_store()
        if sys.argv[1] == "0":
            store.get("the other is connected")
            os._exit(1)
        store.set("the other is connected", "")
        store.get("what nobody sets")
except dist.DistNetworkError:
    print("lost")
"""


def test_a_connection_that_is_lost_takes_no_page_of_errors() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    shared = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    first, second = (
        subprocess.Popen(
            [sys.executable, "-c", STORE, rank],
            env=shared,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    )
    first.communicate(timeout=100)
    assert second.communicate(timeout=100) == ("lost\n", "")
