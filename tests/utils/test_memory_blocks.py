"""Large blocks go back to the system when they are freed."""

import subprocess
import sys

import pytest

GROWTH = """
import sys
import torch
from moleflow.utils.memory import map_large_blocks

def megabytes():
    return int(next(line for line in open("/proc/self/status") if line.startswith("RssAnon")).split()[1]) / 1000

torch.set_num_threads(1)
if sys.argv[1] == "mapped":
    map_large_blocks()
for size in range(1, 30):  # raises glibc's limit
    torch.zeros(size * 250_000)
kept, rows, before = [], torch.zeros(20_000, 244), megabytes()
for step in range(60):
    kept.append(torch.linalg.norm(rows - rows[step], ord=2, dim=1, keepdim=True))
print(megabytes() - before)
"""


def growth(how: str) -> float:
    done = subprocess.run([sys.executable, "-c", GROWTH, how], capture_output=True, text=True, check=True, timeout=120)
    return float(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc")
def test_blocks_that_are_freed_do_not_pile_up():
    assert growth("mapped") < 60  # what is kept is 5 MB
