"""Report the compiler's resources for every tile in the table: registers, spills, shared memory, programs at
once.

    TRITON_INTERPRET=0 python -m bench.kernels.resources [--capability 9.0] [--dtypes bf16] [--tails] [--json]

Needs Triton and no GPU. A tile that spills is a mistake; how fast one is that does not, only a GPU can say.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from kernels.attention import backward, forward, gates
from kernels.attention.launch import UNIT
from kernels.attention.tiles import DTYPES, HEAD_DIMS, KERNELS, Tile, entry, precision
from runtime.cli.parser import Parser, run
from runtime.errors import EnvironmentMismatch

FUNCTIONS = {
    "forward": forward._attend,
    "dk_dv": backward._dk_dv,
    "dq": backward._dq,
    "deltas": gates._to_deltas,
    "closed gates": gates._to_closed_gates,
}
POINTERS = {  # to the tensors' dtype, to float32, to int32
    **dict.fromkeys(("q", "k", "v", "out", "grad", "dq", "dk", "dv"), None),
    **dict.fromkeys(("gates", "lse2", "deltas"), "*fp32"),
    "shares": "*fp32",
    "lengths": "*i32",
}
TYPES = {torch.float16: "fp16", torch.bfloat16: "bf16", torch.float32: "fp32"}
# compute capability: KiB of shared memory per multiprocessor, of which a program costs 1 by itself
SHARED = {(8, 0): 164, (8, 6): 100, (9, 0): 228}
REGISTERS, THREADS = 65536, 2048  # per multiprocessor


@dataclass(frozen=True, slots=True)
class Resources:
    kernel: str
    width: int
    dtype: str
    tile: str
    registers: int  # per thread
    spilled: int  # bytes per thread, stored and loaded
    shared: int  # KiB per program
    programs: int  # on a multiprocessor at once
    products: str  # wgmma, mma or fma
    serial: bool  # whether wgmma products wait for one another
    narrow: int  # loads of fewer than 4 bytes


def every(
    capability: tuple[int, int], dtypes: Sequence[torch.dtype] = DTYPES, *, tails: bool = False
) -> Iterator[Resources]:
    for dtype in dtypes:
        for width in HEAD_DIMS:
            for kernel in FUNCTIONS:
                tile = entry(kernel if kernel in KERNELS else "forward", width, dtype, capability)
                yield compiled(kernel, width, dtype, tile, capability, tails=tails)


def compiled(
    kernel: str,
    width: int,
    dtype: torch.dtype,
    tile: Tile,
    capability: tuple[int, int],
    *,
    tails: bool = False,
) -> Resources:
    """For tensors that start aligned, as torch allocates them, with any strides that are multiples of 8: no
    layout is worse. `tails`: rows that do not divide into whole blocks, and a length per sample.
    """
    function = FUNCTIONS[kernel]
    constants = {
        "EVEN": not tails,
        "LENGTHS": tails,
        "UNIT": UNIT,
        "SCALE": 0.1,
        "D": width,
        "MAIN": tile.main,
        "BLOCK_M": tile.queries,
        "BLOCK_N": tile.keys,
        "PRECISION": precision(dtype, width),
    }
    constants = {name: value for name, value in constants.items() if name in function.arg_names}
    signature = {name: _type(name, constants, TYPES[dtype]) for name in function.arg_names}
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, name in enumerate(function.arg_names)
        if name in POINTERS
    }
    places = {(function.arg_names.index(name),): value for name, value in constants.items()}
    target = GPUTarget("cuda", 10 * capability[0] + capability[1], 32)
    options = {"num_warps": tile.warps, "num_stages": tile.stages}
    built = triton.compile(ASTSource(function, signature, places, aligned), target=target, options=options)
    registers, spilled, serial = _assembled(built.asm["ptx"], capability)
    threads, shared = 32 * tile.warps, built.metadata.shared / 1024
    fitting = (
        REGISTERS // (registers * threads),
        THREADS // threads,
        SHARED.get(capability, min(SHARED.values())) // (shared + 1),
    )
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
        len(re.findall(r"ld\.global\S*\.[bu](?:8|16)\b", built.asm["ptx"])),
    )


def _type(name: str, constants: dict[str, object], of_tensors: str) -> str:
    if name in constants:
        return "constexpr"
    return (POINTERS[name] or f"*{of_tensors}") if name in POINTERS else "i32"


def _assembled(ptx: str, capability: tuple[int, int]) -> tuple[int, int, bool]:
    """Return registers, bytes spilled, and whether Hopper's products wait for one another: what
    ptxas says.
    """
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/ptxas"
    architecture = f"sm_{capability[0]}{capability[1]}{'a' * (capability >= (9, 0))}"
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(ptx)
        file.flush()
        command: list[str | Path] = [tool, f"-arch={architecture}", "-v", file.name, "-o", "/dev/null"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    registers = re.search(r"Used (\d+) registers", said)
    spills = re.findall(r"(\d+) bytes spill", said)  # stores, loads
    assert registers is not None, said
    assert len(spills) == 2, said
    return int(registers[1]), sum(map(int, spills)), "are serialized" in said


def main() -> None:
    parser = Parser(prog="python -m bench.kernels.resources", description=__doc__)
    parser.add_argument("--capability", default="9.0", choices=[f"{x}.{y}" for x, y in SHARED])
    parser.add_argument("--dtypes", nargs="+", choices=TYPES.values(), default=list(TYPES.values()))
    parser.add_argument("--tails", action="store_true", help="rows beyond whole blocks, and lengths")
    parser.add_argument("--json", action="store_true", help="one object per line")
    options = parser.parse_args()
    major, minor = map(int, options.capability.split("."))
    if not isinstance(forward._attend, triton.JITFunction):
        raise EnvironmentMismatch("the kernels are interpreted here; run this with TRITON_INTERPRET=0")
    dtypes = [dtype for dtype, name in TYPES.items() if name in options.dtypes]
    for row in every((major, minor), dtypes, tails=options.tails):
        values = asdict(row)
        print(json.dumps(values) if options.json else "  ".join(map(str, values.values())), flush=True)


if __name__ == "__main__":
    run(main)
