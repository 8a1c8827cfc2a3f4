"""A checkpoint small enough to build in seconds, its bundle, and ways to change it as training would."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from aptp.checkpoint import record as records
from aptp.new.create import create
from aptp.presets import PRESETS, Preset
from export.build import __main__ as build
from export.build.part_store import describe
from runtime.files.verified import list_files
from tests.sharing import shared

WEIGHTS = "diffusion_pytorch_model.safetensors"
MINI = Preset(
    size=32,
    prediction="v_prediction",
    unet={
        "sample_size": 16,
        "block_out_channels": (16, 32),
        "norm_num_groups": 8,
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": (2, 2),
        "cross_attention_dim": 32,
        "use_linear_projection": True,
        "mid_block_type": None,
    },
    vae={
        "block_out_channels": (16, 32),
        "norm_num_groups": 8,
        "layers_per_block": 1,
        "latent_channels": 4,
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "sample_size": 32,
    },
    text_encoders=(
        {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "projection_dim": 32,
            "vocab_size": 1024,
            "hidden_act": "gelu",
        },
    ),
)


def write_mini(folder: Path) -> Path:
    """Writes the checkpoint, with two codes, to `folder`, and gives `folder`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "mini", MINI)
        create(folder, preset="mini", budgets=(0.6, 0.8))
    sign(folder, guidance=3.0)
    return folder


def mini_checkpoint(factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a test run, made once; not to be changed."""
    return shared(factory, "mini", lambda folder: write_mini(folder / "checkpoint")) / "checkpoint"


def build_mini(factory: pytest.TempPathFactory, codes: str = "all") -> Path:
    """The bundle of these codes of it, made once; not to be changed."""
    checkpoint = mini_checkpoint(factory)

    def make(folder: Path) -> None:
        assert build.main(command(checkpoint, folder / "bundle", codes=codes)) == 0

    return shared(factory, f"built-{codes}", make) / "bundle"


def command(checkpoint: Path, out: Path, *more: str, codes: str = "all") -> list[str]:
    """The arguments of `export.build` for its quickest build."""
    words = ["--codes", codes, "--checkpoint", str(checkpoint), "--out", str(out), "--engines", "onnx"]
    return [*words, "--solvers", "ddim", "--cache", str(out.parent / "cache"), *more]


def copy_bundle(bundle: Path, folder: Path) -> Path:
    """A bundle and its report in another folder."""
    shutil.copytree(bundle.with_name("bundle.report"), folder / "bundle.report")
    return Path(shutil.copytree(bundle, folder / "bundle"))


def content(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file in a folder."""
    return {name: entry["sha256"] for name, entry in describe(folder).items()}


def change_weight(checkpoint: Path, component: str, value: float) -> None:
    """Sets one weight and publishes the checkpoint again, as a training run would."""
    path = checkpoint / component / WEIGHTS
    state = {name: tensor.float() for name, tensor in load_file(path).items()}
    state["conv_in.weight"] = state["conv_in.weight"].clone()
    state["conv_in.weight"].view(-1)[0] = value
    save_file(state, path)
    sign(checkpoint)


def sign(checkpoint: Path, **changes: Any) -> None:
    """Writes the index anew over whatever the folder holds, with `changes` to its fields."""
    index = checkpoint / "aptp.json"
    record = records.parse(index.read_bytes())
    files = list_files(checkpoint, skip=("aptp.json", "aptp.sha256"))
    data = replace(record, files=files, **changes).to_json()
    index.write_bytes(data)
    (checkpoint / "aptp.sha256").write_text(records.digest(data))
