"""Both stages on SD 2.1's true geometry at 256 pixels, the paper's size: the memory and the time of a step.

    python -m bench.training_sd21 [--train-batch 8] [--train-steps 2]

Random weights, made-up pictures. The commands run as users run them, in float32, from a cache of encodings,
with the whole batch in slices of one row: stage 1, then the expert of half of the dense cost with AdamW, and
that of three quarters with AdamW in 8 bits and gradient checkpointing. The peak is of the whole process: its
start, its steps, its resume state and the checkpoint that it writes.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aptp.trainer import metrics_log
from bench.commands import ran
from bench.report import save, spread
from runtime.cli.parser import Parser, run
from runtime.cli.values import whole
from tests.aptp.score.made_up import captions, pictures, write_pictures

LIMIT = 16 << 30  # bytes
PICTURES, SIZE = 24, (256, 256)  # as many as an expert of either code needs to get some
FROM, CHECKPOINT = "--from", "--checkpoint"
RUNS: Mapping[str, tuple[str, str, Sequence[object]]] = {
    "stage 1": ("aptp.train", FROM, ("--preset", "tiny", "--recompute")),
    "stage 2, 0.5 of dense": ("aptp.finetune", CHECKPOINT, ("--codes", 0)),
    "stage 2, 0.75 of dense": (
        "aptp.finetune",
        CHECKPOINT,
        ("--codes", 1, "--recompute", "--optimizer", "adamw8bit"),
    ),
}


def main() -> int:
    parser = Parser(prog="python -m bench.training_sd21", description=__doc__.partition("\n")[0])
    parser.add_argument("--train-batch", dest="batch", type=whole, default=8, metavar="N")
    parser.add_argument("--train-steps", dest="steps", type=whole, default=2, metavar="N")
    options = parser.parse_args()
    rows, samples = [], dict[str, Any]()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        checkpoint, cache, data = root / "checkpoint", root / "cache", f"folder:{root / 'pictures'}"
        write_pictures(root / "pictures", pictures(PICTURES, SIZE))
        for path, text in zip(sorted((root / "pictures").iterdir()), captions(PICTURES), strict=True):
            path.with_suffix(".txt").write_text(text, encoding="utf-8")
        size = "x".join(map(str, SIZE))
        ran("aptp.new", "--preset", "sd21", "--size", size, "--budgets", "0.5,0.75", "--out", checkpoint)
        common: list[Any] = ["--data", data, "--mixed-precision", "no"]
        taken = ran("aptp.encode", FROM, checkpoint, "--out", cache, "--size", size, "--batch", 8, *common)
        rows.append(_row("encoding", taken.peak, f"{taken.seconds / PICTURES:.1f} s a picture, all told"))
        samples["encoding"] = asdict(taken)
        common += ["--latents", cache, "--train-batch", options.batch, "--train-steps", options.steps]
        for name, (module, start, how) in RUNS.items():
            out = root / name.replace(" ", "-")
            taken = ran(module, start, checkpoint, "--out", out, "--slice", 1, *common, *how)
            steps = [line["seconds"] for line in metrics_log.read(out.with_name(f"{out.name}.run"))]
            rows.append(_row(name, taken.peak, spread(steps)))
            samples[name] = {**asdict(taken), "steps": steps}
            for made in root.glob(f"{out.name}*"):  # up to 20 GB of weights and resume states
                shutil.rmtree(made)
    save("training_sd21", f"SD 2.1 at 256 px, batch {options.batch} in slices of 1", {"Runs": rows}, samples)
    return 0 if all(taken["peak"] <= LIMIT for taken in samples.values()) else 1


def _row(name: str, peak: int, seconds: str) -> dict[str, str]:
    return {"run": name, "peak memory": f"{peak / 2**30:.1f} GiB", "a step": seconds}


if __name__ == "__main__":
    run(main)
