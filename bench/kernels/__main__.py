"""Benchmark the attention kernel: its gain, its speed, and when to mask or to slice.

    python -m bench.kernels --parts floor                                 # needs no GPU
    python -m bench.kernels [--parts attention crossover] [--sizes 512] [--batches 1 4 16]

SD 2.1's attentions at 512 and 768 pixels, bfloat16. Every part writes `kernels.<part>.json` and `.md` into
the folder --out, again after every measurement: whatever ends it early leaves what was measured. The GPU's
time is that of replayed CUDA graphs, contenders in turns; a first call, which compiles, is reported and not
among the samples. TFLOP/s count the products an algorithm cannot do without (2 forward, 5 backward) of live
heads; the peak is that of a large matrix product on this GPU. Our backward makes 7 products, so that against
5 made as efficiently it reaches 0.71 times their speed at best.
"""

import argparse
import gc
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch._functorch import config as functorch

from bench.kernels import floor
from bench.kernels.shapes import SIZES
from bench.report import RESULTS, write
from runtime.cli.parser import Parser, run
from runtime.errors import EnvironmentMismatch

PARTS = ("floor", "attention", "crossover")
BATCHES = (1, 2, 4, 8, 16)


def attention(options: argparse.Namespace) -> None:
    from bench.kernels import attention, resources
    from bench.kernels.timing import ceilings
    from kernels.attention.tiles import entry

    properties = torch.cuda.get_device_properties(0)
    capability = (properties.major, properties.minor)
    tile = entry("forward", 64, torch.bfloat16, capability)
    forward = resources.compiled("forward", 64, torch.bfloat16, tile, capability)
    places = forward.programs * properties.multi_processor_count
    ceiling = ceilings()
    parity = {"Error in bfloat16 against float32": attention.parity(options.sizes)}
    cases: list[attention.Case] = []
    for case in attention.measured(options.sizes, options.batches, properties.L2_cache_size):
        cases.append(case)
        print(f"{case.direction}, {case.shape}, batch {case.batch}", file=sys.stderr)
        tables = parity | attention.tables(cases, ceiling, capability, places)
        samples = [attention.raw(case) for case in cases]
        save(options, "attention", tables, samples)
    pictures = attention.chart(cases, options.out, torch.cuda.get_device_name())
    save(options, "attention", tables, samples, pictures)


def crossover(options: argparse.Namespace) -> None:
    from bench.kernels import crossover

    mixtures: list[crossover.Mixture] = []
    for mixture in crossover.measure():
        mixtures.append(mixture)
        tables = {"A batch of mixed codes, whole UNet at 512 pixels": crossover.table(mixtures)}
        samples = [asdict(one) for one in mixtures]
        save(options, "crossover", tables, samples)
    if mixtures:
        pictures = crossover.chart(mixtures, options.out, torch.cuda.get_device_name())
        save(options, "crossover", tables, samples, pictures)


def prepare() -> None:
    if not torch.cuda.is_available():
        raise EnvironmentMismatch(
            "bench.kernels measures on an NVIDIA GPU, and torch finds none here; `floor` needs none"
        )
    functorch.donated_buffer = False  # backward passes are timed again and again
    gc.freeze()  # whenever a graph is captured, garbage is collected first


def save(
    options: argparse.Namespace,
    part: str,
    tables: dict[str, Any],
    samples: list[Any],
    pictures: Sequence[str] = (),
) -> None:
    title = f"The attention kernel: {part}"
    options.written[part] = write(f"kernels.{part}", title, tables, samples, pictures, options.out)


def main() -> None:
    parser = Parser(prog="python -m bench.kernels", description="Benchmarks of the attention kernel")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["attention", "crossover"])
    parser.add_argument("--sizes", nargs="+", type=int, choices=SIZES, default=list(SIZES), help="pixels")
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.set_defaults(written={})
    options = parser.parse_args()
    if "floor" in options.parts:
        save(options, "floor", floor.tables(options.sizes, options.batches), [])
    if {"attention", "crossover"} & set(options.parts):
        prepare()
    if "attention" in options.parts:
        attention(options)
    if "crossover" in options.parts:
        crossover(options)
    print(*options.written.values(), sep="\n")


if __name__ == "__main__":
    run(main)
