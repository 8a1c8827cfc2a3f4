"""Exchanges of processes: sums, flags, and rows whose gradients add up to those of one process."""

import socket

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

from aptp.trainer import distributed


def test_alone_everything_is_the_identity() -> None:
    tensor = torch.ones(3, 2)
    assert distributed.gathered(tensor) is tensor
    assert torch.equal(distributed.own(tensor, 3), tensor)
    assert torch.equal(distributed.total(tensor), tensor)
    assert distributed.mean({"loss": torch.tensor(2.5)}) == {"loss": 2.5}
    assert distributed.any_of(True, torch.device("cpu"))
    assert not distributed.any_of(False, torch.device("cpu"))
    assert (distributed.rank(), distributed.count()) == (0, 1)


def _member(rank: int, port: int) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    try:
        local = torch.full((2, 3), float(rank + 1), requires_grad=True)
        everyone = distributed.gathered(local)
        assert everyone[:, 0].tolist() == [1, 1, 2, 2]
        assert torch.equal(distributed.own(everyone, 2), local)
        everyone.square().mean().backward()  # type: ignore[no-untyped-call]
        assert local.grad is not None
        # Averaged over two processes, this is the gradient of the mean over all twelve numbers.
        torch.testing.assert_close(local.grad / 2, 2 * local.detach() / 12)
        assert distributed.total(torch.tensor([1.0, rank])).tolist() == [2, 1]
        assert distributed.mean({"a": torch.tensor(rank), "b": torch.tensor(3)}) == {"a": 0.5, "b": 3}
        assert distributed.any_of(rank == 1, torch.device("cpu"))
        assert not distributed.any_of(False, torch.device("cpu"))
        assert (distributed.rank(), distributed.count()) == (rank, 2)
    finally:
        dist.destroy_process_group()


def test_two_processes() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    multiprocessing.spawn(_member, (port,), nprocs=2)
