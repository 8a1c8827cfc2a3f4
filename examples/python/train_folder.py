"""Train a router and its experts on a folder of captioned pictures, and build the bundle.

    python train_folder.py PIPELINE PICTURES OUT [OPTION of training …]

PIPELINE is a diffusers folder, PICTURES holds images with a .txt beside each (docs/DATA.md). Every command
goes on where it stopped: run this again after an interrupt.
"""

import subprocess
import sys
from pathlib import Path


def run(*words: str) -> None:
    print("python -m", *words, flush=True)
    subprocess.run([sys.executable, "-m", *words], check=True)


def main(pipeline: str, pictures: str, out: str, *training: str) -> None:
    routed, tuned, bundle = (str(Path(out) / name) for name in ("routed", "tuned", "bundle"))
    data = ("--data", f"folder:{pictures}")
    if not Path(routed).exists():
        run("aptp.train", "--from", pipeline, "--num-codes", "4", *data, "--out", routed, *training)
    if not Path(tuned).exists():
        run("aptp.finetune", "--checkpoint", routed, *data, "--out", tuned, *training)
    run("export.build", "--checkpoint", tuned, "--codes", "all", "--out", bundle)


if __name__ == "__main__":
    main(*sys.argv[1:])
