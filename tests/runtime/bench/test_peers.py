"""The protocol from both ends, with a peer that computes nothing of use."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from runtime.bench import peers
from runtime.bench.peers import PEERS, Peer, PeerProcess
from runtime.bench.spec import BenchSpec
from runtime.bench.workload import Inputs
from runtime.errors import PeerFailure
from runtime.machine import process_memory
from tests.runtime.bench.conftest import SpecOf

Open = Callable[[str], PeerProcess]


@pytest.fixture
def spec(spec_of: SpecOf, tmp_path: Path) -> BenchSpec:
    return spec_of(checkpoint=tmp_path)


@pytest.fixture
def opened(spec: BenchSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens the toy of a kind; it is closed after the test."""
    running: list[PeerProcess] = []
    monkeypatch.setattr(peers, "MODULE", "tests.runtime.bench.toys")

    def start(kind: str) -> PeerProcess:
        monkeypatch.setattr(peers, "PEERS", {"toy": Peer(kind)})
        running.append(PeerProcess("toy", spec, None, tmp_path))
        return running[-1]

    yield start
    for process in running:
        process.close()


@pytest.fixture
def inputs() -> Inputs:
    return {"sample": np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3), "timestep": np.ones(1, np.float32)}


def test_a_peer_takes_steps_and_tells_what_came_out(opened: Open, inputs: Inputs) -> None:
    peer = opened("good")
    peer.take(inputs)
    assert 0.01 <= peer.step() < 5
    assert (peer.output() == 2 * inputs["sample"]).all()
    assert peer.versions == {"numpy": np.__version__}
    assert peer.seconds >= 0


def test_an_image_is_timed(opened: Open, spec: BenchSpec) -> None:
    assert opened("good").image(spec, "a red circle", 3) >= 0


def test_a_blank_image_is_not(opened: Open, spec: BenchSpec) -> None:
    with pytest.raises(PeerFailure, match="toy: not timed, its image is blank"):
        opened("blank").image(spec, "a red circle", 3)


def test_a_peer_without_its_packages_says_which(opened: Open) -> None:
    with pytest.raises(PeerFailure, match="toy: a_package_that_nobody_has is not installed for "):
        opened("missing")


def test_a_peer_that_cannot_run_here_says_why(opened: Open) -> None:
    with pytest.raises(PeerFailure, match="^toy: there is no GPU here$"):
        opened("unfit")


def test_a_peer_that_dies_leaves_its_last_words(opened: Open) -> None:
    with pytest.raises(
        PeerFailure, match="toy: stopped with code 7: terminate called / out of memory / abort"
    ):
        opened("dies")


def test_a_peer_that_does_not_keep_to_the_protocol_is_ended(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "_PATIENCE", 0.1)
    with pytest.raises(PeerFailure, match="toy: stopped with code -9"):
        opened("babbles")


def test_a_step_that_fails_is_an_answer_in_one_line(opened: Open, inputs: Inputs) -> None:
    peer = opened("fails")
    peer.take(inputs)
    with pytest.raises(PeerFailure, match="toy: RuntimeError: no kernel for this shape$"):
        peer.step()
    assert (peer.output() == 2 * inputs["sample"]).all()  # it goes on serving


def test_closing_ends_the_process(opened: Open) -> None:
    peer = opened("good")
    assert process_memory.read(peer.process) is not None
    peer.close()
    assert process_memory.read(peer.process) is None


def test_an_interpreter_that_is_not_there(spec_of: SpecOf, tmp_path: Path) -> None:
    spec = spec_of(checkpoint=tmp_path, peer_pythons={"optimum": str(tmp_path / "python")})
    with pytest.raises(PeerFailure, match="does not start: No such file or directory; see --peer-python"):
        PeerProcess("optimum", spec, None, tmp_path)


def test_outside_the_source_tree_there_are_none(
    spec: BenchSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "ROOT", tmp_path)
    with pytest.raises(PeerFailure, match="come with the source tree.*run python -m runtime.bench there"):
        PeerProcess("openvino", spec, None, tmp_path)


def test_every_peer_is_a_kind_that_is_there() -> None:
    assert {peer.kind for peer in PEERS.values()} == {
        path.stem for path in (peers.ROOT / "bench/peers").glob("[a-z]*.py") if path.stem != "protocol"
    }
