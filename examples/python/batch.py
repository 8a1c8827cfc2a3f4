"""Draw many prompts, each with its own params; keep what succeeds: python batch.py BUNDLE OUT PROMPT..."""

import sys
from pathlib import Path

from PIL import Image

from runtime import AptpError, Generated, GenerationParams, Pipeline


def main(bundle: str, out: str, *prompts: str) -> None:
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)

    def keep(index: int, outcome: Generated | AptpError) -> None:
        """Save an image as soon as it is there; a failure does not stop the others."""
        if isinstance(outcome, Generated):
            Image.fromarray(outcome.pixels).save(folder / f"{index:03d}.png")
        else:
            print(f"{prompts[index]!r}: {outcome}", file=sys.stderr)

    params = [GenerationParams(seed=index, guidance=2.0 + index) for index in range(len(prompts))]
    with Pipeline.open(bundle) as pipeline:
        pipeline.generate(prompts, params, on_image=keep)


if __name__ == "__main__":
    main(*sys.argv[1:])
