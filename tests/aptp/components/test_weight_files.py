"""The files that hold a component's weights, and the messages where none can be read."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel

from aptp.components.networks import DIFFUSERS, read_network
from aptp.components.weight_files import find_weights, stored_dtype
from runtime.errors import CheckpointError
from tests.aptp.components.conftest import change_tensors, weights_of

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 3438354725\n"
INDEX = f"{DIFFUSERS}.safetensors.index.json"


def dtype_of(unet: Path) -> torch.dtype | None:
    return stored_dtype(find_weights(unet, DIFFUSERS))


@pytest.fixture
def shards(folder: Path) -> Path:
    """The UNet's folder with its weights in several files."""
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    shutil.rmtree(folder / "unet")
    unet.save_pretrained(folder / "unet", max_shard_size="100KB")
    return folder / "unet"


def test_shards_are_read_whole(whole: Path, shards: Path) -> None:
    found = find_weights(shards, DIFFUSERS)
    assert len(found.paths) > 1
    assert found.variant is None
    state, wanted = (read_network(UNet2DConditionModel, at).state_dict() for at in (shards, whole / "unet"))
    assert all(torch.equal(state[name], wanted[name]) for name in wanted)


def test_a_shard_that_is_not_there(shards: Path) -> None:
    path = find_weights(shards, DIFFUSERS).paths[1]
    path.unlink()
    with pytest.raises(CheckpointError, match=f"there is no {path.name}, which {INDEX} lists; fetch it"):
        find_weights(shards, DIFFUSERS)


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"weight_map": 3}', '{"weight_map": {}}', "{", '{"weight_map": ']
)
def test_an_index_of_shards_that_is_none(shards: Path, text: str) -> None:
    (shards / INDEX).write_text(text)
    with pytest.raises(CheckpointError, match=INDEX):
        find_weights(shards, DIFFUSERS)


def test_an_index_that_leads_elsewhere(shards: Path) -> None:
    (shards / INDEX).write_text('{"weight_map": {"conv_in.weight": "../vae/x.safetensors"}}')
    with pytest.raises(CheckpointError, match="which .* lists"):
        find_weights(shards, DIFFUSERS)


def test_plain_files_come_before_those_of_a_variant(folder: Path) -> None:
    UNet2DConditionModel.from_pretrained(folder / "unet").half().save_pretrained(
        folder / "unet", variant="fp16"
    )
    assert dtype_of(folder / "unet") == torch.float32


def test_the_only_variant_is_read(whole: Path, folder: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").half()
    shutil.rmtree(folder / "unet")
    unet.save_pretrained(folder / "unet", variant="fp16", max_shard_size="100KB")
    assert find_weights(folder / "unet", DIFFUSERS).variant == "fp16"
    found = read_network(UNet2DConditionModel, folder / "unet")
    assert found.dtype == torch.float16
    assert torch.equal(found.conv_in.weight, unet.conv_in.weight)


def test_several_variants_and_no_plain_files(folder: Path) -> None:
    path = weights_of(folder / "unet")
    for variant in ("ema", "fp16"):
        shutil.copyfile(path, folder / "unet" / f"{DIFFUSERS}.{variant}.safetensors")
    path.unlink()
    with pytest.raises(CheckpointError, match="several variants: ema, fp16; remove all but one"):
        find_weights(folder / "unet", DIFFUSERS)


def test_one_file_and_shards(folder: Path, shards: Path, whole: Path) -> None:
    shutil.copy(weights_of(whole / "unet"), shards)
    with pytest.raises(CheckpointError, match="libraries differ in which they read: remove one"):
        find_weights(shards, DIFFUSERS)


def pickled(path: Path) -> None:
    path.rename(path.with_suffix(".bin"))


def lfs(path: Path) -> None:
    path.write_text(POINTER)


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def shard(path: Path) -> None:
    path.rename(path.with_name(f"{DIFFUSERS}-00001-of-00002.safetensors"))


def foreign(path: Path) -> None:
    path.rename(path.with_name("flax_model.msgpack"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (pickled, r"\.bin is a pickle, which can run code, .*use_safetensors=False"),
        (lfs, "is a pointer of Git LFS, not the file: run `git lfs install` and `git lfs pull`"),
        (torn, "is not a whole safetensors file; fetch it again"),
        (shard, r"its shards have no index; fetch …safetensors\.index\.json"),
        (foreign, "it holds flax_model.msgpack; fetch the pipeline again"),
        (Path.unlink, "it holds none; fetch the pipeline again"),
    ],
)
def test_no_weights_that_can_be_read(folder: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(weights_of(folder / "unet"))
    with pytest.raises(CheckpointError, match=message):
        read_network(UNet2DConditionModel, folder / "unet")


def test_no_folder(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no such folder; fetch the pipeline again"):
        find_weights(folder / "unett", DIFFUSERS)


@pytest.mark.parametrize(
    ("first", "others", "wanted"),
    [
        (torch.float16, torch.float16, torch.float16),
        (torch.bfloat16, torch.bfloat16, torch.bfloat16),
        (torch.float16, torch.bfloat16, torch.float32),
        (torch.float32, torch.float16, torch.float32),
        (torch.float64, torch.float16, torch.float32),
    ],
)
def test_the_dtype_that_holds_all_numbers(
    folder: Path, first: torch.dtype, others: torch.dtype, wanted: torch.dtype
) -> None:
    change_tensors(
        folder / "unet",
        lambda state: {
            name: tensor.to(first if name == "conv_in.weight" else others) for name, tensor in state.items()
        },
    )
    assert dtype_of(folder / "unet") == wanted
