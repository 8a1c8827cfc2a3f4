from pathlib import Path

import pytest

from runtime.bench.options import BenchCommand, parse
from runtime.bench.peers import PEERS
from runtime.bench.spec import ENGINES, LEVELS
from runtime.errors import NotABundle, UsageError


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text("a red circle\n\nblue\ncircle\n")
    return path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    (tmp_path / "model_index.json").write_text("{}")
    return tmp_path


def asked(bundle: Path, *words: object) -> BenchCommand:
    return parse(["--bundle", str(bundle), "--engines", "cpu", *map(str, words)])


def test_what_nobody_said_is_the_bundles(bundle_path: Path) -> None:
    found = asked(bundle_path)
    spec = found.spec
    assert spec.experts == ("dense", "0", "1", "2", "3")
    assert spec.levels == LEVELS
    assert spec.rows == (1, 2, 4, 8)  # small experts share calls
    assert (spec.params.solver, spec.params.steps, spec.params.guidance) == ("ddim", 4, 2.5)
    assert found.out == bundle_path.with_name("bundle.bench")
    assert (found.charts, found.json, found.overwrite) == (True, False, False)


def test_the_report_says_what_was_asked(bundle_path: Path) -> None:
    about = asked(bundle_path, "--codes", "1,dense", "--steps", 3).about
    assert about["command"].startswith("python -m runtime.bench --bundle ")
    assert about["command"].endswith("--codes 1,dense --steps 3")
    assert about["manifest"] == (bundle_path / "manifest.sha256").read_text()[:64]
    assert (about["experts"], about["steps"], about["trained"]) == (["1", "dense"], 3, False)


def test_the_first_code_is_compared_against(bundle_path: Path) -> None:
    assert [one.name for one in asked(bundle_path, "--codes", "2,dense").spec.contenders] == [
        "expert 2",
        "dense",
    ]


def test_prompts_are_read(bundle_path: Path, prompts: Path) -> None:
    assert asked(bundle_path, "--prompts", prompts).spec.prompts == ("a red circle", "blue", "circle")
    assert asked(bundle_path, "--prompts", prompts, "--images", 2).spec.prompts == ("a red circle", "blue")


def test_peers_are_all_or_some(bundle_path: Path, checkpoint: Path) -> None:
    both = "--checkpoint", checkpoint
    assert asked(bundle_path, *both, "--peers").spec.peers == tuple(PEERS)
    assert asked(bundle_path, *both, "--peers", "openvino,optimum").spec.peers == ("openvino", "optimum")
    assert asked(bundle_path, *both).spec.peers == ()


def test_all_engines_are_those_that_are_here_and_the_others_have_reasons(bundle_path: Path) -> None:
    spec = asked(bundle_path, "--engines", "all").spec
    assert "cpu" in spec.engines
    assert {"auto", *spec.engines, *spec.absent} == set(ENGINES)
    assert "holds none for expert" in spec.absent["aoti"]


def test_a_peer_has_an_interpreter_of_its_own(bundle_path: Path) -> None:
    pythons = asked(bundle_path, "--peer-python", "optimum=/env/bin/python").spec.peer_pythons
    assert pythons == {"optimum": "/env/bin/python"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engines", "cpuu"], "engine 'cpuu' is not one of .*did you mean 'cpu'"),
        (["--engines", "cpu,"], "--engines 'cpu,': give names with commas"),
        (["--codes", "7"], "--codes 7: is not one of dense, 0, 1, 2, 3"),
        (["--levels", "stp"], "--levels stp: .*did you mean 'step'"),
        (["--rows", "1,x"], "--rows 1,x: give integers"),
        (["--rows", "0"], "--rows 0: give an integer of at least 1"),
        (["--rounds", "0"], "--rounds 0: give an integer of at least 1"),
        (["--rounds", "many"], "'many': give an integer from 0"),
        (["--seconds", "-1"], "--seconds -1.0: give a number from 0"),
        (["--seconds", "nan"], "--seconds nan"),
        (["--minutes", "0"], "--minutes 0.0: give a number above 0"),
        (["--steps", "99"], "steps 99: solver 'ddim' offers 1 to 10"),
        (["--size", "9x9"], "width 9: give a multiple of 8"),
        (["--size", "9"], "'9': give WIDTHxHEIGHT"),
        (["--peers"], "--peers: .*name it with --checkpoint"),
        (["--peers", "openvino", "--checkpoint", "."], "--checkpoint .: has no model_index.json"),
        (["--peer-python", "optimum"], "--peer-python optimum: give a peer and its interpreter"),
        (["--peer-python", "opt=x"], "--peer-python opt: is not one of "),
        (["--images", "2"], "--images: .*name their file with --prompts"),
        (["--prompts", "/nowhere"], "/nowhere cannot be read"),
    ],
)
def test_what_cannot_be_used_is_refused(
    bundle_path: Path, words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        parse(["--bundle", str(bundle_path), *words])


def test_an_unknown_peer_is_refused(bundle_path: Path, checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="--peers optimm: .*did you mean 'optimum'"):
        asked(bundle_path, "--checkpoint", checkpoint, "--peers", "optimm")


def test_more_images_than_prompts(bundle_path: Path, prompts: Path) -> None:
    with pytest.raises(UsageError, match="has 3 prompts, too few"):
        asked(bundle_path, "--prompts", prompts, "--images", 4)


def test_what_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(NotABundle):
        parse(["--bundle", str(tmp_path)])
