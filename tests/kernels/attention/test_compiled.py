"""What compilers make of the kernels, without a GPU: in child processes, for here they are interpreted."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def lines(module: str, *arguments: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", module, *arguments]
    compiled = {**os.environ, "TRITON_INTERPRET": "0"}
    done = subprocess.run(command, cwd=ROOT, env=compiled, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("capability", ["8.6", "9.0"])
def test_the_table_fits_its_architectures(capability: str) -> None:
    for row in lines("bench.kernels.resources", "--capability", capability, "--json"):
        assert row["programs"] >= 1, row
        if row["dtype"] != "fp32":
            assert row["spilled"] == 0, row
            assert not row["serial"], row
            assert row["products"] == ("wgmma" if capability == "9.0" else "mma"), row


def test_graphs_carry_the_kernels_and_know_what_each_writes() -> None:
    fixed, symbolic = lines("tests.kernels.attention.traced")
    assert fixed == symbolic
    assert fixed == {
        "_attend": ["out", "sums"],
        "_to_deltas": ["deltas", "shares"],
        "_to_closed_gates": ["shares"],
        "_to_queries": ["dq"],
        "_to_keys": ["dk", "dv"],
    }
