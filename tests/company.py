"""Processes that work together, without `torchrun` around them."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parent
FORK = """
import json, os, sys
# Once for all, as they take seconds; the first update imports the last one.
import seq2seq.cli, seq2seq.train, torch.distributed, torch._dynamo

size, folder, script, *words = sys.argv[1:]
children = []
for rank in range(int(size)):
    if not (child := os.fork()):
        break
    children.append(child)
else:
    ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(json.dumps(ends))
    sys.exit()
os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
for number, name in enumerate(("out", "err"), start=1):
    os.dup2(os.open(f"{folder}/{rank}.{name}", os.O_WRONLY | os.O_CREAT), number)
sys.argv = ["-c", *words]
exec(compile(script, "script", "exec"), {"__name__": "__main__"})
"""


def run_together(size: int, script: str, *words: str) -> list[tuple[int, str, str]]:
    """Runs a script in so many processes; exit status, output and error output of each."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # This process may know where another checkout is, but not where the tests' own modules are.
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    shared = {"PYTHONPATH": path, "MASTER_ADDR": "127.0.0.1"}
    # The package sets it, but here torch is imported before.
    shared |= {"TORCH_CPP_LOG_LEVEL": "ERROR"}
    shared |= {"MASTER_PORT": str(port), "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size)}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", FORK, str(size), folder, script, *words],
            env=os.environ | shared,
            stdout=subprocess.PIPE,
            text=True,
            timeout=300,
            check=True,
        )
        texts = [
            [Path(folder, f"{rank}.{name}").read_text() for name in ("out", "err")]
            for rank in range(size)
        ]
    return [(status, *both) for status, both in zip(json.loads(done.stdout), texts, strict=True)]
