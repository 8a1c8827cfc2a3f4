"""What the compiler makes of every tile in the table: registers, spills, shared memory, programs at once.

    TRITON_INTERPRET=0 python -m bench.kernels.resources [--capability 9.0] [--json]

Needs Triton and no GPU. A tile that spills is a mistake; how fast one is that does not, only a GPU can say.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from kernels.attention import backward, forward
from kernels.attention.tiles import DTYPES, HEAD_DIMS, KERNELS, Tile, entry, precision

FUNCTIONS = {
    "forward": forward._attend,
    "to_keys": backward._to_keys,
    "to_queries": backward._to_queries,
}
POINTERS = {  # to the tensors' dtype, to float32, to int32
    **dict.fromkeys(("q", "k", "v", "out", "grad", "dq", "dk", "dv"), None),
    **dict.fromkeys(("gates", "sums", "deltas"), "*fp32"),
    "lengths": "*i32",
}
SIZES = ("HEADS", "N_Q", "N_K", "BATCH", "walk")
TYPES = {torch.float16: "fp16", torch.bfloat16: "bf16", torch.float32: "fp32"}
# compute capability: KiB of shared memory per multiprocessor, of which a program costs 1 by itself
SHARED = {(8, 0): 164, (8, 6): 100, (9, 0): 228}
REGISTERS, THREADS = 65536, 2048  # per multiprocessor


@dataclass(frozen=True)
class Resources:
    kernel: str
    width: int
    dtype: str
    tile: str
    registers: int  # per thread
    spilled: int  # bytes per thread
    shared: int  # KiB per program
    programs: int  # on a multiprocessor at once
    products: str  # wgmma, mma or fma
    serial: bool  # whether wgmma products wait for one another


def every(capability: tuple[int, int]) -> Iterator[Resources]:
    for dtype in DTYPES:
        for width in HEAD_DIMS:
            for kernel in KERNELS:
                yield compiled(kernel, width, dtype, entry(kernel, width, dtype, capability), capability)


def compiled(
    kernel: str, width: int, dtype: torch.dtype, tile: Tile, capability: tuple[int, int]
) -> Resources:
    """For shapes that divide into whole blocks and tensors that are aligned as torch allocates them."""
    function = FUNCTIONS[kernel]
    constants = {
        "EVEN": True,
        "LENGTHS": False,
        "SCALE": 0.1,
        "D": width,
        "MAIN": tile.main,
        "BLOCK_M": tile.queries,
        "BLOCK_N": tile.keys,
        "PRECISION": precision(dtype, width),
    }
    signature = {name: _type(name, constants, TYPES[dtype]) for name in function.arg_names}
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, name in enumerate(function.arg_names)
        if name in POINTERS or name[-2:] in ("_b", "_h", "_n") and name != "g_b"
    }
    places = {(function.arg_names.index(name),): value for name, value in constants.items()}
    target = GPUTarget("cuda", 10 * capability[0] + capability[1], 32)
    options = {"num_warps": tile.warps, "num_stages": tile.stages}
    built = triton.compile(ASTSource(function, signature, places, aligned), target=target, options=options)
    registers, spilled, serial = _assembled(built.asm["ptx"], capability)
    threads, shared = 32 * tile.warps, built.metadata.shared / 1024
    fitting = (REGISTERS // (registers * threads), THREADS // threads, SHARED[capability] // (shared + 1))
    found = re.search(r"wgmma\.mma_async|mma\.sync", built.asm["ptx"])
    return Resources(
        kernel,
        width,
        TYPES[dtype],
        f"{tile.queries} x {tile.keys}, {tile.main} + {max(0, width - tile.main)}, "
        f"{tile.warps} warps, {tile.stages} stages",
        registers,
        spilled,
        round(shared),
        int(min(fitting)),
        found[0].split(".")[0] if found else "fma",
        serial,
    )


def _type(name: str, constants: dict[str, object], of_tensors: str) -> str:
    if name in constants:
        return "constexpr"
    return (POINTERS[name] or f"*{of_tensors}") if name in POINTERS else "i32"


def _assembled(ptx: str, capability: tuple[int, int]) -> tuple[int, int, bool]:
    """Registers, bytes of stack, and whether Hopper's products wait for one another: what ptxas says."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/ptxas"
    architecture = f"sm_{capability[0]}{capability[1]}{'a' * (capability == (9, 0))}"
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(ptx)
        file.flush()
        command = [tool, f"-arch={architecture}", "-v", file.name, "-o", "/dev/null"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    registers = re.search(r"Used (\d+) registers", said)
    stack = re.search(r"(\d+) bytes stack frame", said)
    assert registers is not None, said
    assert stack is not None, said
    return int(registers[1]), int(stack[1]), "are serialized" in said


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--capability", default="9.0", choices=[f"{x}.{y}" for x, y in SHARED])
    parser.add_argument("--json", action="store_true", help="one object per line")
    options = parser.parse_args()
    major, minor = map(int, options.capability.split("."))
    if not isinstance(forward._attend, triton.JITFunction):
        sys.exit("The kernels are interpreted here; run this with TRITON_INTERPRET=0")
    for row in every((major, minor)):
        values = asdict(row)
        print(json.dumps(values) if options.json else "  ".join(map(str, values.values())), flush=True)


if __name__ == "__main__":
    main()
