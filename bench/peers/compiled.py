"""torch.compile on diffusers' UNet. Compilation happens in the first calls, which are warm-up."""

from typing import Any

from bench.peers import eager
from bench.peers.protocol import PeerUnavailable


class Peer(eager.Peer):
    """A peer that uses the `mode` of torch.compile that the task names."""

    def prepared(self, unet: Any) -> Any:
        import torch

        if self.task["mode"] == "reduce-overhead" and self.task["device"] != "cuda":
            raise PeerUnavailable("this mode is CUDA graphs, and the peers run on the CPU (see --device)")
        unet.compile(mode=self.task["mode"], fullgraph=True, dynamic=False)
        assert isinstance(unet, torch.nn.Module)
        return unet
