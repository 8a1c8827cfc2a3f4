"""Opening checkpoints: what comes out of a good one, and the one typed error for each kind of bad one."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from aptp.checkpoint.reader import WEIGHTS, Checkpoint
from aptp.checkpoint.record import digest
from aptp.model.sliced import SlicedUNet
from runtime.errors import CheckpointError, IntegrityError

Damaged = Callable[[], Path]


def sign(path: Path) -> None:
    """Makes the index agree with whatever is in the folder now, as an editor of the folder would."""
    from runtime.files.verified import list_files

    body = json.loads((path / "aptp.json").read_text())
    files = list_files(path, skip=("aptp.json", "aptp.sha256"))
    body["files"] = {name: {"size": entry.size, "sha256": entry.sha256} for name, entry in files.items()}
    index = json.dumps(body).encode()
    (path / "aptp.json").write_bytes(index)
    (path / "aptp.sha256").write_text(digest(index))


def load_everything(path: Path) -> None:
    checkpoint = Checkpoint.open(path)
    checkpoint.verify()
    checkpoint.router()
    checkpoint.tokenizer_file()
    for name in ("dense", *map(str, range(len(checkpoint.record.codes)))):
        checkpoint.expert(name)


def test_everything_a_checkpoint_holds(checkpoint: Path) -> None:
    opened = Checkpoint.open(checkpoint)
    assert opened.pipeline == "StableDiffusionPipeline"
    assert (opened.vae_scale, opened.latent_size, opened.latent_multiple) == (4, (16, 16), 4)
    assert opened.tokenizer["length"] == opened.text_encoder().config.max_position_embeddings == 32
    assert opened.scheduler_config()["prediction_type"] == "v_prediction"
    assert opened.vae().config.latent_channels == 4
    cost = opened.cost()
    for code, architecture in zip(opened.record.codes, opened.architectures, strict=True):
        assert cost.of(architecture) / cost.dense == pytest.approx(code.budget, abs=0.01)


def test_experts_are_slices_with_the_code_of_the_index(checkpoint: Path) -> None:
    opened = Checkpoint.open(checkpoint)
    expert = opened.expert("1")
    assert isinstance(expert, SlicedUNet)
    assert np.array_equal(expert.architecture.keep, opened.architectures[1].keep)
    assert {p.dtype for p in expert.parameters()} == {torch.float32}
    assert {p.dtype for p in opened.expert("1", torch.float16).parameters()} == {torch.float16}


def test_the_router_spreads_prompts_over_the_codes(checkpoint: Path) -> None:
    router = Checkpoint.open(checkpoint).router()
    embedding = torch.randn(64, 5, 160, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 1, 0, 0]]).expand(64, -1)
    similarity = router(embedding, mask)
    assert similarity.shape == (64, 2)
    assert similarity.abs().max() <= 1
    assert set(similarity.argmax(1).tolist()) == {0, 1}
    # Padding has no say, and neither have the other rows of a batch.
    disturbed = embedding.clone()
    disturbed[:, 3:] = 100.0
    torch.testing.assert_close(router(disturbed, mask), similarity)
    torch.testing.assert_close(router(embedding[:1], mask[:1]), similarity[:1])


def test_digests_follow_content(checkpoint: Path) -> None:
    opened = Checkpoint.open(checkpoint)
    parts = ["", "unet", "vae", "text_encoder", "tokenizer", "scheduler", "router.safetensors", "experts/0"]
    assert len({opened.digest(part) for part in [*parts, "experts/1"]}) == 9
    with pytest.raises(CheckpointError, match="lists no 'experts/7'"):
        opened.digest("experts/7")


def test_no_folder() -> None:
    with pytest.raises(CheckpointError, match="there is no checkpoint folder"):
        Checkpoint.open("/nowhere/at/all")


def test_a_foreign_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        Checkpoint.open(tmp_path)


def test_a_diffusers_folder_gets_a_hint(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"python -m aptp.new --from"):
        Checkpoint.open(tmp_path)


@pytest.mark.parametrize("name", ["2", "-1", "00", "dens", "0/../0", ""])
def test_no_such_expert(checkpoint: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="has no expert"):
        Checkpoint.open(checkpoint).expert(name)


@pytest.mark.parametrize(
    "file", ["aptp.json", "unet/config.json", f"experts/0/{WEIGHTS}", "router.safetensors"]
)
@pytest.mark.parametrize("damage", ["flip", "truncate", "append", "remove", "link"])
def test_changed_files(damaged: Damaged, file: str, damage: str) -> None:
    path = damaged()
    target = path / file
    data = bytearray(target.read_bytes())
    match damage:
        case "flip":
            data[len(data) // 2] ^= 1
            target.write_bytes(data)
        case "truncate":
            target.write_bytes(data[:-1])
        case "append":
            target.write_bytes(data + b"\0")
        case "remove":
            target.unlink()
        case "link":
            target.rename(path.parent / "elsewhere")
            target.symlink_to(path.parent / "elsewhere")
    with pytest.raises((IntegrityError, CheckpointError), match=Path(file).name):
        load_everything(path)


@pytest.mark.parametrize(
    "name", ["unet/diffusion_pytorch_model.safetensors.index.json", "experts/0/model.bin", "tokenizer/x/y"]
)
def test_files_the_index_does_not_list(damaged: Damaged, name: str) -> None:
    path = damaged()
    (path / name).parent.mkdir(exist_ok=True)
    (path / name).write_text("{}")
    with pytest.raises(IntegrityError, match="is not listed; remove it"):
        load_everything(path)


@pytest.mark.parametrize("name", ["router.safetensors", "tokenizer/tokenizer.json", "unet/config.json"])
def test_an_index_that_lists_too_little(damaged: Damaged, name: str) -> None:
    path = damaged()
    body = json.loads((path / "aptp.json").read_text())
    del body["files"][name]
    index = json.dumps(body).encode()
    (path / "aptp.json").write_bytes(index)
    (path / "aptp.sha256").write_text(digest(index))
    with pytest.raises((CheckpointError, IntegrityError), match=Path(name).name):
        load_everything(path)


def test_a_file_touched_after_the_check_is_checked_again(damaged: Damaged) -> None:
    path = damaged()
    opened = Checkpoint.open(path)
    opened.router()
    data = bytearray((path / "router.safetensors").read_bytes())
    data[-1] ^= 1
    (path / "router.safetensors").write_bytes(data)
    with pytest.raises(IntegrityError, match=r"router.safetensors: SHA-256 "):
        opened.router()


def test_an_index_that_is_a_pipe_does_not_hang(damaged: Damaged) -> None:
    path = damaged()
    (path / "aptp.json").unlink()
    os.mkfifo(path / "aptp.json")
    with pytest.raises(IntegrityError, match="not a regular file"):
        Checkpoint.open(path)


def test_a_router_that_is_garbage(damaged: Damaged) -> None:
    path = damaged()
    (path / "router.safetensors").write_bytes(b"garbage")
    sign(path)
    with pytest.raises(CheckpointError, match="does not hold a cosine router"):
        Checkpoint.open(path).router()


def test_an_encoder_that_is_not_there(damaged: Damaged) -> None:
    path = damaged()
    index = json.loads((path / "aptp.json").read_text())
    (path / "aptp.json").write_text(json.dumps({**index, "prompt_encoder": "prompt_encoder"}))
    sign(path)
    with pytest.raises(CheckpointError, match="aptp.json lists no 'prompt_encoder'"):
        Checkpoint.open(path).prompt_encoder()


def test_swapped_experts(damaged: Damaged) -> None:
    path = damaged()
    (path / "experts/0").rename(path / "experts/x")
    (path / "experts/1").rename(path / "experts/0")
    (path / "experts/x").rename(path / "experts/1")
    with pytest.raises(IntegrityError, match="experts/0"):
        load_everything(path)
    sign(path)
    with pytest.raises(CheckpointError, match="does not describe code 0"):
        load_everything(path)


def test_swapped_weights_with_a_matching_config(damaged: Damaged) -> None:
    path = damaged()
    (path / "experts/1" / WEIGHTS).replace(path / "experts/0" / WEIGHTS)
    (path / "experts/1" / WEIGHTS).write_bytes((path / "experts/0" / WEIGHTS).read_bytes())
    sign(path)
    with pytest.raises(CheckpointError, match=r"does not fit code 0: .* wants"):
        load_everything(path)


def test_codes_of_another_unet(damaged: Damaged) -> None:
    path = damaged()
    body = json.loads((path / "aptp.json").read_text())
    body["codes"][1]["widths"]["mid_block.resnets.0"] = "1"
    (path / "aptp.json").write_text(json.dumps(body))
    sign(path)
    with pytest.raises(CheckpointError, match=r"code 1 does not fit the UNet: mid_block.resnets.0"):
        Checkpoint.open(path)


def test_depth_gates_of_another_unet(damaged: Damaged) -> None:
    path = damaged()
    body = json.loads((path / "aptp.json").read_text())
    body["depth"] = ["down_blocks.9.resnets.0"]
    (path / "aptp.json").write_text(json.dumps(body))
    sign(path)
    with pytest.raises(CheckpointError, match=r"aptp.json does not fit unet/config.json"):
        Checkpoint.open(path)


def test_no_codes(damaged: Damaged) -> None:
    path = damaged()
    body = json.loads((path / "aptp.json").read_text())
    body["codes"] = []
    (path / "aptp.json").write_text(json.dumps(body))
    sign(path)
    with pytest.raises(CheckpointError, match="lists no codes"):
        Checkpoint.open(path)


def test_a_router_for_other_codes(damaged: Damaged) -> None:
    from safetensors.torch import load_file, save_file

    path = damaged()
    state = load_file(path / "router.safetensors")
    state["codes"] = state["codes"][:1].clone()
    save_file(state, path / "router.safetensors")
    sign(path)
    with pytest.raises(CheckpointError, match=r"has 1 codes, aptp.json 2"):
        load_everything(path)


@pytest.mark.parametrize(
    ("file", "field", "value", "use"),
    [
        ("tokenizer/tokenizer_config.json", "model_max_length", 33, Checkpoint.cost),
        ("unet/config.json", "down_block_types", [True, "CrossAttnDownBlock2D"], Checkpoint.open),
        ("unet/config.json", "up_block_types", ["UpBlock2D", "CrossAttnUpBlock2D"], Checkpoint.open),
        ("unet/config.json", "block_out_channels", [10**12] * 3, Checkpoint.open),
        ("unet/config.json", "norm_eps", "x", Checkpoint.cost),
        ("vae/config.json", "block_out_channels", 7, Checkpoint.cost),
        ("vae/config.json", "block_out_channels", None, Checkpoint.cost),
        ("vae/config.json", "block_out_channels", [], Checkpoint.vae),
        ("vae/config.json", "norm_num_groups", 0, Checkpoint.vae),
        ("text_encoder/config.json", "layer_norm_eps", "x", Checkpoint.text_encoder),
        ("text_encoder/config.json", "num_attention_heads", 0, Checkpoint.text_encoder),
        ("text_encoder/config.json", "vocab_size", -1, Checkpoint.text_encoder),
        ("scheduler/scheduler_config.json", "beta_start", "x", Checkpoint.scheduler_config),
        ("scheduler/scheduler_config.json", "_class_name", "LCMScheduler", Checkpoint.scheduler_config),
    ],
)
def test_a_config_that_no_library_takes(
    damaged: Damaged, file: str, field: str, value: object, use: Callable[..., object]
) -> None:
    path = damaged()
    config = {**json.loads((path / file).read_text()), field: value}
    if value is None:
        del config[field]
    (path / file).write_text(json.dumps(config))
    sign(path)
    with pytest.raises(CheckpointError, match=file.split("/")[0]):
        use(path if use == Checkpoint.open else Checkpoint.open(path))
