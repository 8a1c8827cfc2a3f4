from __future__ import annotations
from dataclasses import dataclass
import torch
from torch import Tensor
HEAD_DIMS=(32,40,64,80,128,160)
DTYPES=(torch.float16,torch.bfloat16,torch.float32)
@dataclass(frozen=True)
class Tile:
    queries: int
    keys: int
    warps: int
    stages: int
    main: int
def choose(kind, q, k):
    D=q.shape[3]
    return Tile(64,64,4,2,{32:32,40:32,64:64,80:64,128:128,160:128}[D])
def precision(dtype): return "ieee" if dtype==torch.float32 else "tf32"
def walked(blocks, programs):
    return 2
