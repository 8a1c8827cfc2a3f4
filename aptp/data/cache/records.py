"""Records of samples: what is left of each when its picture and caption have become tensors."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor

from aptp.data.texts import Packer, Texts

DATA, ENDS = "records", "records.ends"


@dataclass(frozen=True, slots=True)
class Record:
    """A sample's caption, and the broken pictures `skipped` at its position where its source tells them."""

    caption: str
    skipped: tuple[tuple[str, str], ...] | None = None

    @classmethod
    def of(cls, caption: str, metadata: Mapping[str, Any]) -> Self:
        return cls(caption, metadata.get("skipped"))

    @property
    def metadata(self) -> Mapping[str, Any]:
        return {} if self.skipped is None else {"skipped": self.skipped}


class Records:
    """Records by number, packed into two tensors."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, number: int) -> Record:
        caption, *skipped = json.loads(self._texts[number])
        return Record(caption, tuple((place, why) for place, why in skipped[0]) if skipped else None)

    def tensors(self) -> dict[str, Tensor]:
        return {DATA: self._texts.data, ENDS: self._texts.ends}

    @classmethod
    def pack(cls, records: Iterable[Record]) -> Self:
        packer = Packer()
        for record in records:
            told = [] if record.skipped is None else [record.skipped]
            packer.add(json.dumps([record.caption, *told], ensure_ascii=False))
        return cls(packer.pack())

    @classmethod
    def unpack(cls, tensors: Mapping[str, Tensor]) -> Self:
        return cls(Texts(tensors[DATA], tensors[ENDS]))
