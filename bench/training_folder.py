"""Both stages on a small folder of captioned pictures: what must come to the same, its seconds, its memory.

    python -m bench.training_folder [--from DIR] [--pictures 200]

A folder of scenes is written, and the commands run as users run them, in float32, on the default's dense
pipeline: each stage with the whole batch at once (`plain`), in slices, from a cache of encodings, killed on
its way and gone on with, and at another size than is served. Checkpoints are compared tensor by tensor. What
was trained at the other size is built, drawn with, and scored; the encoders of the scores have made-up
weights, so their values mean nothing.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file

from aptp.data.scenes.source import Scenes
from aptp.default import default_checkpoint
from bench.commands import Ran, killed, ran
from bench.report import save
from runtime.cli.parser import Parser, run
from runtime.cli.values import whole
from tests.aptp.score.made_up import write_clip, write_inception

SERVED, TRAINED = "64x64", "48x48"
COMMON = ("--mixed-precision", "no", "--validate-every", 0)
# Few enough rows for the first pass over the pictures: later ones have new crops, which a cache has not.
STAGES: Mapping[str, Sequence[object]] = {
    "train": ("--preset", "tiny", "--guidance", 2, "--train-steps", 12, "--train-batch", 16),
    "finetune": ("--train-steps", 4, "--train-batch", 4),
}
WAYS: Mapping[str, Sequence[object]] = {
    "plain": (),
    "slices": ("--slice", 4),
    "cache": ("--latents",),
    "killed": ("--save-every", 0),
    "other size": ("--train-size", TRAINED),
}


def write_folder(folder: Path, count: int) -> None:
    """Write captioned pictures as a folder of files that have captions beside them."""
    folder.mkdir()
    source = Scenes()
    for number in range(count):
        sample = source[number]
        Image.fromarray(sample.image).save(folder / f"{number:03d}.png")
        (folder / f"{number:03d}.txt").write_text(sample.caption, encoding="utf-8")


def difference(one: Path, other: Path) -> str:
    """Tell by how much the weights of two checkpoints differ: of each tensor the largest difference beside
    its largest value, of those the largest.
    """
    worst, named = 0.0, "none"
    for path in sorted(one.rglob("*.safetensors")):
        a, b = load_file(path), load_file(other / path.relative_to(one))
        for name in a.keys() | b.keys():
            if name not in a or name not in b or a[name].shape != b[name].shape:
                return f"another architecture ({path.relative_to(one)})"
            if not torch.equal(a[name], b[name]):
                x, y = a[name].double(), b[name].double()
                apart = float((x - y).abs().max() / x.abs().max())
                if apart > worst:
                    worst, named = apart, name
    return f"{worst:.1e} ({named})" if worst else "none: the same bits"


class Walk:
    """The commands, one after the other, in a folder; `rows` and `samples` tell what they took."""

    def __init__(self, root: Path, start: Path) -> None:
        self._root, self._start = root, start
        self._data = f"folder:{root / 'pictures'}"
        self.rows: list[dict[str, Any]] = []
        self.samples: dict[str, Any] = {}

    def encode(self) -> None:
        made = ran(
            "aptp.encode", "--from", self._start, "--data", self._data, "--out", self._root / "cache",
            "--mixed-precision", "no", "--size", SERVED,
        )  # fmt: skip
        self._tell("encode", "", made)

    def stage(self, stage: str) -> Path:
        """Run a stage in all ways; return what was trained at the other size."""
        for way, options in WAYS.items():
            module, out = f"aptp.{stage}", self._root / f"{stage}-{way}"
            before = ("--from", self._start) if stage == "train" else ("--checkpoint", self._before(way))
            command = [*before, "--out", out, "--data", self._data, *STAGES[stage], *COMMON, *options]
            if way == "cache":
                command.append(self._root / "cache")
            if way == "killed":
                states = out.with_name(f"{out.name}.run")
                killed(lambda: any(states.glob("state-*.safetensors")), module, *command)  # noqa: B023
            taken = ran(module, *command)
            plain = self._root / f"{stage}-plain"
            self._tell(
                stage, way, taken, difference(plain, out) if way in ("slices", "cache", "killed") else ""
            )
        return out

    def draw(self, checkpoint: Path, captions: Path) -> None:
        """Build, draw and score."""
        bundle, drawn = self._root / "bundle", self._root / "drawn"
        self._tell(
            "build", "", ran("export.build", "--checkpoint", checkpoint, "--codes", "all", "--out", bundle)
        )
        self._tell(
            "generate",
            "",
            ran("runtime.generate", "--bundle", bundle, "--prompts", captions, "--out", drawn),
        )
        inception, clip = write_inception(self._root / "inception.pth"), write_clip(self._root / "clip")
        taken = ran(
            "aptp.score", "--pictures", drawn, "--against", self._root / "pictures", "--inception", inception,
            "--clip", clip, "--cmmd-clip", clip, "--cache", self._root / "features",
            "--out", self._root / "scores", "--device", "cpu",
        )  # fmt: skip
        self._tell("score", "", taken)

    def _before(self, way: str) -> Path:
        """Return the checkpoint that stage 2 begins with: the same for all ways that are compared."""
        return self._root / ("train-other size" if way == "other size" else "train-plain")

    def _tell(self, command: str, way: str, taken: Ran, apart: str = "") -> None:
        peak = f"{taken.peak / 2**20:,.0f} MiB"
        self.rows.append(
            {"command": command, "way": way, "seconds": f"{taken.seconds:.1f}", "peak memory": peak,
             "weights differ from plain by": apart}
        )  # fmt: skip
        self.samples[f"{command} {way}".strip()] = asdict(taken)


def main() -> None:
    parser = Parser(prog="python -m bench.training_folder", description=__doc__.partition("\n")[0])
    parser.add_argument("--from", dest="start", type=Path, metavar="DIR", help="pipeline (the default's)")
    parser.add_argument("--pictures", type=whole, default=200, metavar="N", help="in the folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        write_folder(root / "pictures", options.pictures)
        captions = root / "captions.txt"
        texts = [path.read_text(encoding="utf-8") for path in sorted((root / "pictures").glob("*.txt"))]
        captions.write_text("\n".join(texts) + "\n", encoding="utf-8")
        walk = Walk(root, options.start or default_checkpoint())
        walk.encode()
        for stage in STAGES:
            trained = walk.stage(stage)
        walk.draw(trained, captions)
        title = f"Both stages on {options.pictures} captioned pictures"
        save("training_folder", title, {"Commands": walk.rows}, walk.samples)


if __name__ == "__main__":
    run(main)
