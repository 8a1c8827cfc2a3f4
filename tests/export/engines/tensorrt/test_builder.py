"""The builder: what it is asked for, what it leaves for its siblings, and what its errors are told as."""

import sys

import pytest

from export.engines.tensorrt import builder
from runtime.errors import BuilderError, Refused

BOUNDS = {
    "sample": ((1, 4, 8, 16), (2, 4, 16, 16), (16, 4, 32, 16)),
    "time_embedding": ((1, 64), (2, 64), (16, 64)),
    "encoder_hidden_states": ((1, 77, 32), (2, 77, 32), (16, 77, 32)),
}


@pytest.fixture
def build(tmp_path):
    """Build the plan of `name`, and give the shares done that were reported."""

    def call(name: str = "0", precision: str = "float16") -> list[float]:
        shares: list[float] = []
        builder.write_plan(
            tmp_path / f"{name}.onnx",
            BOUNDS,
            tmp_path / f"{name}.plan",
            tmp_path / "timing.cache",
            precision=precision,
            report=shares.append,
        )
        return shares

    return call


def test_a_plan_is_built_as_it_was_asked_for(tensorrt, build, tmp_path):
    shares = build()
    assert (tmp_path / "0.plan").read_bytes() == b"a plan"
    assert tensorrt.parsed == [str(tmp_path / "0.onnx")]
    assert [network.strongly_typed for network in tensorrt.networks] == [True]
    (profile,) = tensorrt.configs[0].profiles
    assert profile.shapes == BOUNDS
    assert shares == [0.5, 1.0]


@pytest.mark.parametrize(("precision", "tf32"), [("float16", True), ("float32", False)])
def test_tf32_is_for_the_islands_alone(tensorrt, build, precision, tf32):
    build(precision=precision)
    assert tensorrt.configs[0].flags == ({tensorrt.BuilderFlag.TF32} if tf32 else set())


def test_a_sibling_starts_from_the_timings_of_the_first(tensorrt, build, tmp_path):
    build("0")
    assert (tmp_path / "timing.cache").read_bytes() == b"timings;"
    build("1")
    assert bytes(tensorrt.configs[1].cache.data).startswith(b"timings;")


def test_a_builder_that_gives_up_is_translated_from_what_it_said(tensorrt, build, tmp_path):
    tensorrt.refuses += [
        "Error Code 10: Internal Error (Could not find any implementation for node {ForeignNode[a...b]}.)",
        "Error Code 2: Internal Error (Assertion engine != nullptr failed.)",
    ]
    with pytest.raises(BuilderError, match="a lack of GPU memory; free the GPU .*ForeignNode"):
        build()
    assert not (tmp_path / "0.plan").exists()


def test_a_parser_that_does_not_take_the_graph(tensorrt, build):
    tensorrt.parses = False
    with pytest.raises(BuilderError, match="parser does not take the graph; `python -m export.lint`.*Det"):
        build()


def test_nothing_that_polygraphy_says_reaches_the_standard_output(tensorrt, build, capsys):
    tensorrt.refuses.append("no reason")
    with pytest.raises(BuilderError):
        build()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["tensorrt", "polygraphy.backend.trt"])
def test_what_is_not_installed_is_named(monkeypatch, build, name):
    for module in ("tensorrt", "polygraphy.backend.trt"):
        monkeypatch.setitem(sys.modules, module, None if module == name else object())
    package = name.partition(".")[0]
    with pytest.raises(Refused, match=f"--engines tensorrt: {package} is not installed"):
        build()
