"""Draw one image and say which expert made it: python generate.py BUNDLE "a red circle" image.png"""

import sys
from pathlib import Path

from PIL import Image

from runtime import GenerationParams, Pipeline


def main(bundle: str, prompt: str, out: str) -> None:
    with Pipeline.open(bundle) as pipeline:
        (made,) = pipeline.generate(prompt, GenerationParams(seed=7))
    Image.fromarray(made.pixels).save(Path(out))
    print(f"expert {made.choice.expert}, {made.milliseconds:.0f} ms")


if __name__ == "__main__":
    main(*sys.argv[1:])
