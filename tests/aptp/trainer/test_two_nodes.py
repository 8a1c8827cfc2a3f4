"""Two launchers, as on two machines, learn what one process does: the real commands."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from aptp.checkpoint.reader import Checkpoint
from tests.aptp.trainer.test_two_processes import LOSS, PLAIN, ROOT, close, losses, run
from tests.checkpoints import mini_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def launch(words: list[str], node: int, port: int) -> subprocess.Popen[str]:
    several = ("--nnodes", "2", "--node-rank", str(node), "--nproc-per-node", "1")
    place = ("--master-addr", "127.0.0.1", "--master-port", str(port))
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", *several, *place, "-m", *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_launchers(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    words = ["aptp.finetune", "--checkpoint", str(mini_checkpoint(tmp_path_factory)), *PLAIN]
    alone, nodes = tmp_path / "alone", tmp_path / "nodes"
    run([*words, "--out", str(alone)], 1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    agents = [launch([*words, "--out", str(nodes)], node, port) for node in (0, 1)]
    try:
        said = [agent.communicate(timeout=800)[1] for agent in agents]
    finally:
        for agent in agents:
            agent.kill()
    assert [agent.returncode for agent in agents] == [0, 0], said
    assert "2 processes" in said[0]
    assert said[0].count("is ready") + said[1].count("is ready") == 1
    assert losses(nodes) == pytest.approx(losses(alone), rel=LOSS)
    one, other = Checkpoint.open(alone), Checkpoint.open(nodes)
    for code in ("0", "1"):
        close(one.expert(code).state_dict(), other.expert(code).state_dict())
