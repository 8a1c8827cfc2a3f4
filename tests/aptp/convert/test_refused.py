"""Published folders that are damaged, incomplete, hostile or of a variant that cannot be served."""

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from aptp.convert.conversion import ConversionSource, convert
from aptp.convert.tensors import MOST_BYTES
from aptp.pipeline import read_pipeline
from runtime.errors import CheckpointError, UsageError
from tests.encoders import write_encoder
from tests.published import WEIGHTS

UNET = Path("checkpoint-30000") / "unet" / WEIGHTS


def configure(model: str, **changes: Any) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        path = root / model / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return damage


def change(path: str | Path, how: Callable[[dict[str, Tensor]], Any]) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        state = load_file(root / path)
        how(state)
        save_file(state, root / path)

    return damage


def revector(how: Callable[[Tensor], Any]) -> Callable[[Path], None]:
    """Changes code 1 both in the table and in its expert's folder."""

    def damage(root: Path) -> None:
        path = root / "arch1" / "arch_vector.pt"
        vector = torch.load(path, weights_only=True)
        how(vector[0])
        torch.save(vector, path)
        change(f"quantizer/{WEIGHTS}", lambda state: state["embedding_gs"][1].copy_(vector[0]))(root)

    return damage


def put(path: str, content: Any) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        if isinstance(content, bytes):
            (root / path).write_bytes(content)
        else:
            torch.save(content, root / path)

    return damage


class Trap:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('the trap was sprung')",))


VECTOR = "arch1/arch_vector.pt"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        # Pickles that are no tensor, or more than one.
        (put(VECTOR, pickle.dumps(Trap())), "is not run: it is no file of torch.save"),
        (put(VECTOR, Trap()), "is not run: it asks for exec"),
        (put(VECTOR, b""), "is not run: it is no file of torch.save"),
        (put(VECTOR, {"gates": torch.zeros(3)}), "arch_vector.pt holds a dict, not a plain tensor"),
        (put(VECTOR, torch.zeros(3).to_sparse()), "arch_vector.pt holds a Tensor, not a plain tensor"),
        (put(VECTOR, torch.zeros(3, dtype=torch.int64)), "holds torch.int64 instead of floating-point"),
        (put(VECTOR, torch.zeros(3)), "arch_vector.pt has 3 gates; the quantizer's codes have"),
        (
            put(VECTOR, bytes(MOST_BYTES + 1)),
            "arch_vector.pt cannot be .* larger than 67,108,864 bytes",
        ),
        # Codes.
        (put(VECTOR, torch.full((1, 161), torch.nan)), "arch_vector.pt holds values that are not finite"),
        (revector(lambda v: v.zero_()), "arch1: down_blocks.0.resnets.0: all 8 gates are dropped"),
        (revector(lambda v: v.add_(2)), "embedding_gs goes from .* gates lie between 0 and 1"),
        (put(VECTOR, torch.full((1, 161), 0.5)), "arch1/arch_vector.pt is none of the quantizer's 3 codes"),
        # Folders.
        (lambda root: (root / "arch1").rename(root / "expert1"), "has no expert of code 1;"),
        (lambda root: (root / VECTOR).unlink(), "arch1 holds no arch_vector.pt"),
        (lambda root: (root / "arch1" / UNET).unlink(), f"arch1 holds no {WEIGHTS}"),
        (
            lambda root: (root / VECTOR).write_bytes((root / "arch0" / "arch_vector.pt").read_bytes()),
            "arch0 and arch1 are both code 0",
        ),
        (lambda root: (root / "hypernet" / "config.json").unlink(), "--from takes the folder with hypernet"),
        # Configs.
        (put("quantizer/config.json", b"{"), "quantizer/config.json: not UTF-8 JSON"),
        (put("quantizer/config.json", b'{"n_e": NaN}'), "NaN is not a number that the format allows"),
        (configure("quantizer", n_e=-1), "'n_e' is -1; what can be converted has an integer from 1 to 1024"),
        (configure("quantizer", temperature=0), "'temperature' is 0; what can be converted has a number"),
        (configure("quantizer", base="3"), "'base' is '3'"),
        (configure("quantizer", depth_order=[0, 0, 1]), "'depth_order' is .* an order of its"),
        (configure("quantizer", structure=None), "'structure' does not list"),
        (configure("quantizer", resource_aware_normalization=True), "'resource_aware_normalization' is True"),
        (configure("hypernet", wn_flag=True), "'wn_flag' is True; what can be converted has False"),
        (configure("hypernet", single_arch_param=True), "'single_arch_param' is True"),
        (configure("hypernet", input_dim=99), r"mh_fc.0.bias|mh_fc.0.weight is \[8, 24\]"),
        (
            configure("hypernet", structure={"width": [[8]], "depth": [[0]]}),
            "the structures of hypernet and quantizer differ",
        ),
        # Tensors of predictor and codes.
        (change(f"hypernet/{WEIGHTS}", lambda s: s.pop("mh_fc.1.weight")), "mh_fc.1.weight is missing"),
        (change(f"hypernet/{WEIGHTS}", lambda s: s.update(x=torch.zeros(1))), "x is .*want no such tensor"),
        (change(f"quantizer/{WEIGHTS}", lambda s: s["embedding_gs"].fill_(torch.inf)), "not finite"),
        (put(f"quantizer/{WEIGHTS}", b"\x80\x04."), "cannot be read as safetensors"),
        # Weights of experts.
        (
            change(f"arch1/{UNET}", lambda s: s["conv_in.bias"].fill_(torch.nan)),
            "conv_in.bias holds values that",
        ),
        (
            change(f"arch1/{UNET}", lambda s: s.pop("conv_in.bias")),
            "neither the sliced expert nor a full UNet",
        ),
        (change(f"arch1/{UNET}", lambda s: s.update(x=torch.zeros(1))), "x is not part of this architecture"),
        (
            change(f"arch1/{UNET}", lambda s: s.update({"conv_in.bias": torch.zeros(16, dtype=torch.int32)})),
            "conv_in.bias holds torch.int32",
        ),
        (put(f"arch1/{UNET}", b"\x80\x04."), "cannot be read as safetensors"),
    ],
)
def test_what_is_refused(
    source: ConversionSource, copy: Path, tmp_path: Path, damage: Any, message: str
) -> None:
    damage(copy)
    with pytest.raises(CheckpointError, match=message):
        convert(replace(source, root=copy), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_some_tensors_full_and_some_sliced(source: ConversionSource, copy: Path, tmp_path: Path) -> None:
    dense = read_pipeline(source.pipeline, torch.float32).unet.state_dict()

    def mix(state: dict[str, Tensor]) -> None:
        cut = next(name for name in state if state[name].shape != dense[name].shape)
        state[cut] = dense[cut]

    change(f"arch1/{UNET}", mix)(copy)
    with pytest.raises(CheckpointError, match="neither the sliced expert nor a full UNet, as a whole"):
        convert(replace(source, root=copy), tmp_path / "out")


def test_cut_tensors_that_were_never_loaded(source: ConversionSource, copy: Path, tmp_path: Path) -> None:
    dense = read_pipeline(source.pipeline, torch.float32).unet.state_dict()

    def forget(state: dict[str, Tensor]) -> None:
        for name in state:
            if state[name].shape != dense[name].shape:
                state[name] = torch.randn(state[name].shape, generator=torch.Generator().manual_seed(1))

    change(f"arch1/{UNET}", forget)(copy)
    with pytest.raises(CheckpointError, match="tensors that were cut are as unlike the pipeline's as random"):
        convert(replace(source, root=copy), tmp_path / "out")


def test_an_encoder_of_another_width(source: ConversionSource, tmp_path: Path) -> None:
    other = write_encoder(tmp_path / "wide", hidden_size=32)
    with pytest.raises(CheckpointError, match="gives embeddings of 32; the predictor in .* reads 24"):
        convert(replace(source, prompt_encoder=other), tmp_path / "out")


def test_a_folder_that_is_taken(source: ConversionSource, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="already exists"):
        convert(source, tmp_path)
