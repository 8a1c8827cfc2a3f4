"""Pipelines read from folders as people have them, and messages that name a way out."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel

from aptp.pipeline import build_pipeline, image_size, read_pipeline, stored_dtypes
from runtime.errors import CheckpointError, SpaceError, UsageError
from tests.aptp.components.conftest import change_config, change_tensors
from tests.checkpoints import MINI

NETWORKS = ("unet", "vae", "text_encoder")


def test_every_network_keeps_its_own_dtype(folder: Path) -> None:
    wanted = {"unet": torch.bfloat16, "vae": torch.float32, "text_encoder": torch.float16}
    for name, dtype in wanted.items():
        change_tensors(folder / name, lambda state, dtype=dtype: {k: v.to(dtype) for k, v in state.items()})
    pipeline = read_pipeline(folder, None)
    assert {name: getattr(pipeline, name).dtype for name in NETWORKS} == wanted
    assert stored_dtypes(folder) == wanted
    rounded = read_pipeline(folder, torch.float16)
    assert {getattr(rounded, name).dtype for name in NETWORKS} == {torch.float16}


def test_a_variant_beside_plain_files_is_not_read(folder: Path) -> None:
    build_pipeline(MINI, 1, torch.float16).save_pretrained(folder, variant="fp16")
    assert set(stored_dtypes(folder).values()) == {torch.float32}
    assert read_pipeline(folder, None).dtype == torch.float32


def test_a_folder_of_one_variant(tmp_path: Path) -> None:
    made = build_pipeline(MINI, 0, torch.float16)
    made.save_pretrained(tmp_path, variant="fp16")
    found = read_pipeline(tmp_path, None)
    for name in NETWORKS:
        wanted = getattr(made, name).state_dict()
        assert all(
            torch.equal(tensor, wanted[key]) for key, tensor in getattr(found, name).state_dict().items()
        )


def hub_cache(source: Path, root: Path) -> Path:
    """The same pipeline as the hub's cache has it: a snapshot of links to blobs."""
    blobs, snapshot = root / "models--me--sd" / "blobs", root / "models--me--sd" / "snapshots" / "0a1b2c"
    blobs.mkdir(parents=True)
    for path in [path for path in source.rglob("*") if path.is_file()]:
        blob = blobs / hashlib.sha256(path.read_bytes()).hexdigest()
        shutil.copyfile(path, blob)
        link = snapshot / path.relative_to(source)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return snapshot


def test_links_of_the_hubs_cache_are_followed(whole: Path, tmp_path: Path) -> None:
    snapshot = hub_cache(whole, tmp_path)
    found, wanted = read_pipeline(snapshot, None), read_pipeline(whole, None)
    assert torch.equal(found.unet.conv_in.weight, wanted.unet.conv_in.weight)
    with pytest.raises(CheckpointError, match=f"it is an entry of the hub's cache; give {snapshot}"):
        read_pipeline(snapshot.parent.parent, None)


def no_folder(pipe: Path) -> Path:
    return pipe / "stabilityai" / "stable-diffusion-2-1"


def single_file(pipe: Path) -> Path:
    return pipe / "unet" / "diffusion_pytorch_model.safetensors"


def one_component(pipe: Path) -> Path:
    return pipe / "unet"


def no_index(pipe: Path) -> Path:
    (pipe / "model_index.json").unlink()
    return pipe


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (no_folder, "no such folder; pipelines are read from this machine alone: fetch one with hf download"),
        (single_file, r"it is a file; .*from_single_file\(FILE\)\.save_pretrained\(DIR\)"),
        (one_component, "it holds one component: give the folder above"),
        (no_index, "is not a diffusers pipeline folder: it has no model_index.json"),
    ],
)
def test_what_is_no_pipelines_folder(folder: Path, place: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_pipeline(place(folder), None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"_class_name": "StableDiffusionInpaintPipeline"},
            "is a StableDiffusionInpaintPipeline; this software",
        ),
        ({"_class_name": ["mine", "MyPipeline"]}, "this software prunes StableDiffusionPipeline and"),
        ({"vae": ["diffusers", "AutoencoderTiny"]}, "vae is 'AutoencoderTiny'; .* with AutoencoderKL there"),
        ({"text_encoder": ["transformers", "T5EncoderModel"]}, "text_encoder is 'T5EncoderModel'"),
        ({"text_encoder": [None, None]}, "text_encoder is None"),
        ({"unet": None}, "unet is None"),
        ({"unet": ["diffusers", "UNetMotionModel"]}, "unet is 'UNetMotionModel'"),
        ({"tokenizer": ["transformers", "BertTokenizer"]}, "tokenizer is 'BertTokenizer'"),
    ],
)
def test_components_of_other_classes(folder: Path, fields: dict[str, object], message: str) -> None:
    change_config(folder / "model_index.json", **fields)
    with pytest.raises(CheckpointError, match=message):
        read_pipeline(folder, None)


def test_the_fast_tokenizers_of_old_folders(folder: Path) -> None:
    change_config(folder / "model_index.json", tokenizer=["transformers", "CLIPTokenizerFast"])
    assert read_pipeline(folder, None).tokenizer("a red circle").input_ids


def tiny_vae(pipe: Path) -> None:
    """A folder whose decoder is another, as diffusers saves it."""
    sizes = {"encoder_block_out_channels": (16,) * 2, "decoder_block_out_channels": (16,) * 2}
    made = build_pipeline(MINI, 0, torch.float32)
    made.vae = AutoencoderTiny(**sizes, num_encoder_blocks=(1,) * 2, num_decoder_blocks=(1,) * 2)
    shutil.rmtree(pipe)
    made.save_pretrained(pipe)


def masked_text(pipe: Path) -> None:
    change_config(pipe / "text_encoder" / "config.json", use_attention_mask=True)


def guided_unet(pipe: Path) -> None:
    UNet2DConditionModel(**MINI.unet, time_cond_proj_dim=16).save_pretrained(pipe / "unet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (tiny_vae, "vae is 'AutoencoderTiny'"),
        (masked_text, "use_attention_mask is True"),
        (guided_unet, "time_cond_proj_dim is 16, and such a UNet cannot be exported"),
    ],
)
def test_what_could_not_be_built(folder: Path, change: Callable[[Path], None], message: str) -> None:
    change(folder)
    with pytest.raises((CheckpointError, SpaceError), match=message):
        read_pipeline(folder, None)


@pytest.mark.parametrize(
    "file", ["model_index.json", "unet/config.json", "vae/config.json", "scheduler/scheduler_config.json"]
)
@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000])
def test_a_file_that_is_no_config(folder: Path, file: str, text: str) -> None:
    (folder / file).write_text(text)
    with pytest.raises(CheckpointError, match=file):
        read_pipeline(folder, None)


@pytest.mark.parametrize("name", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_component_that_is_not_there(folder: Path, name: str) -> None:
    shutil.rmtree(folder / name)
    with pytest.raises(CheckpointError, match=f"pipe/{name}"):
        read_pipeline(folder, None)


def test_the_size_that_a_pipeline_is_made_for(folder: Path) -> None:
    assert image_size(read_pipeline(folder, None)) == (MINI.size, MINI.size)


@pytest.mark.parametrize("side", [None, 0, -8, "64", [8], [8, 0], [8, "8"], True])
def test_a_size_that_is_not_said(folder: Path, side: object) -> None:
    change_config(folder / "unet" / "config.json", sample_size=side)
    pipeline = read_pipeline(folder, None)
    with pytest.raises(
        UsageError, match=r"sample_size is .*: write the side of the latents there .* or give --s"
    ):
        image_size(pipeline, "--size WIDTHxHEIGHT")
