import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seq2seq.data.parallel import map_in_order
from seq2seq.errors import DataError


def slow_square(number: int) -> int:
    time.sleep(0.02 * (number % 3))
    return number * number


def die(number: int) -> int:
    os._exit(9)


def fail(number: int) -> int:
    raise KeyError(number)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_are_in_order_and_items_drawn_little_ahead(workers):
    drawn = []

    def items():
        for number in range(30):
            drawn.append(number)
            yield number

    for count, square in enumerate(map_in_order(slow_square, items(), workers)):
        assert square == count * count
        assert len(drawn) <= count + 2 * workers + 2
    assert drawn == list(range(30))


def test_faults_come_back():
    with pytest.raises(KeyError):
        list(map_in_order(fail, range(5), 2))
    with pytest.raises(DataError, match=r"^data\.num_workers: one of the processes has died"):
        list(map_in_order(die, range(5), 2))


SCRIPT = """
import multiprocessing, sys, time
from seq2seq.data.parallel import map_in_order
if __name__ == "__main__":
    for _ in map_in_order(abs, range(3), 2):
        print(*[child.pid for child in multiprocessing.active_children()], flush=True)
        time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for the processes there")
def test_processes_end_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        children = [Path("/proc") / pid for pid in parent.stdout.readline().decode().split()]
        assert len(children) == 2 and all(path.exists() for path in children)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while any(map(is_running, children)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


INTERRUPTED = """
import sys
from seq2seq.data.parallel import map_in_order
if __name__ == "__main__":
    print("begun", flush=True)
    try:
        for result in map_in_order(len, iter(lambda: [1] * 200_000, None), 2):
            pass
    except KeyboardInterrupt:
        sys.exit(7)
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="has no groups of processes")
@pytest.mark.parametrize("seconds", [0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 7), (signal.SIGTERM, -15)])
def test_ctrl_c_ends_all_processes_in_silence(tmp_path, seconds, number, status):
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=pipe, stderr=pipe, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        time.sleep(seconds)
        os.killpg(process.pid, number)
        try:
            # Both pipes end with the last process that has them.
            assert process.communicate(timeout=20) == (b"", b"")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == status


def is_running(process: Path) -> bool:
    try:
        return (process / "stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False
