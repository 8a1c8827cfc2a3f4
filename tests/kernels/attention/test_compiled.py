"""The kernels as compilers make them, without a GPU: in child processes, for here they are interpreted."""

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


CASES = {
    "8.6": ("--capability", "8.6"),
    "9.0": ("--capability", "9.0"),
    "9.0 with tails": ("--capability", "9.0", "--dtypes", "bf16", "--tails"),
}
SPILLED = {
    ("8.6", "closed gates"): 24
}  # bytes: the forward's tile, at D = 32 and 64 a little too large for it


@pytest.mark.parametrize("case", CASES)
def test_the_table_fits_its_architectures(case: str) -> None:
    matrix_unit = "wgmma" if case.startswith("9.0") else "mma"
    for row in lines("bench.kernels.resources", *CASES[case], "--json"):
        assert row["programs"] >= 1, row
        if row["dtype"] != "fp32":  # float32 spills in places: not what a GPU is to run
            assert row["spilled"] <= SPILLED.get((case, row["kernel"]), 0), row
            assert not row["serial"], row
            assert row["narrow"] == 0, row
            assert row["products"] == ("fma" if row["kernel"] == "deltas" else matrix_unit), row


def test_graphs_carry_the_kernels_and_know_what_each_writes() -> None:
    fixed, symbolic = lines("tests.kernels.attention.traced")
    assert fixed == symbolic
    assert fixed == {
        "_attend": ["lse2", "out"],
        "_to_deltas": ["deltas", "shares"],
        "_to_closed_gates": ["shares"],
        "_dq": ["dq"],
        "_dk_dv": ["dk", "dv"],
    }
