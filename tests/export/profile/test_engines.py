"""A piece on the engines themselves: it computes what PyTorch computes."""

import shutil

import numpy as np
import pytest
import torch
from torch import nn

from export.profile.calls import Replay, TracedCall
from export.profile.engines import Aoti, OnnxRuntime, OpenVino, choose
from export.profile.pieces import filled, inputs
from runtime.engines import openvino
from runtime.errors import BuilderError, Refused, UsageError


@pytest.fixture
def piece():
    """A convolution and a tensor that is passed and not read."""

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 16, 3, padding=1)

        def forward(self, hidden, unread):
            return torch.tanh(self.conv(hidden))

    with torch.device("meta"):
        form = Replay(Layer(), TracedCall.of((torch.empty(2, 4, 8, 8), torch.empty(2, 5)), {}))
    return filled(form)


@pytest.mark.parametrize("engine", [OnnxRuntime(1), OpenVino("float32", 1)], ids=lambda engine: engine.name)
def test_an_engine_computes_the_piece(engine, piece, tmp_path):
    tensors = inputs(piece)
    run = engine.open(piece, tensors, tmp_path)
    with torch.no_grad():
        wanted = piece(*tensors).numpy()
    np.testing.assert_allclose(run(), wanted, atol=1e-6)
    assert (tmp_path / "serve.onnx").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("g++") is None, reason="AOTInductor needs a C++ compiler")
def test_aotinductor_computes_the_piece(piece, tmp_path):
    tensors = inputs(piece)
    with torch.no_grad():
        wanted = piece(*tensors)
    found = Aoti("float32", 1).open(piece, tensors, tmp_path)()
    torch.testing.assert_close(found.cpu(), wanted, atol=1e-5, rtol=1e-4)


def test_what_aotinductor_cannot_compile_is_an_error_of_ours(piece, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch.export, "export", fails)
    with pytest.raises(BuilderError, match="AOTInductor cannot compile Replay: no compiler"):
        Aoti("float32", torch.get_num_threads()).open(piece, inputs(piece), tmp_path)


def test_names_say_the_version():
    assert choose("cpu", "float32", 1).name.startswith("cpu (onnxruntime 1.")
    assert choose("openvino", "float32", 1).name.startswith("openvino (20")
    assert choose("aoti", "bfloat16", 1).name.startswith("aoti on c")


@pytest.mark.parametrize(
    ("engine", "precision", "message"),
    [
        ("tensorrt", "float32", "--engine: 'tensorrt' cannot be profiled; known: auto, cpu, openvino, aoti"),
        ("opnvino", "float32", "did you mean 'openvino'"),
        ("cpu", "flaot32", r"--precision: unknown 'flaot32' \(did you mean 'float32'"),
    ],
)
def test_engines_that_cannot_be_profiled(engine, precision, message):
    with pytest.raises(UsageError, match=message):
        choose(engine, precision, 1)


def test_an_engine_this_machine_lacks(monkeypatch):
    monkeypatch.setattr(openvino, "missing", lambda: "there is none")
    with pytest.raises(Refused, match="--engine openvino: there is none; use cpu or auto"):
        choose("openvino", "float32", 1)
    assert choose("auto", "float32", 1).name.startswith("cpu (onnxruntime 1.")


@pytest.mark.parametrize("engine", ["cpu", "openvino"])
def test_a_precision_that_is_not_computed_in(engine, monkeypatch):
    monkeypatch.setattr(openvino, "computes_in", lambda precision: precision == "float32")
    with pytest.raises(Refused, match="--precision bfloat16: (engine cpu|this processor)"):
        choose(engine, "bfloat16", 1)
