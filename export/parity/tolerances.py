"""Every tolerance of the parity ladder, the inputs it is measured on, and the bars that images must clear."""

from typing import NamedTuple

# fmt: off
MASKED_SLICED   = 1e-5   # rung 1: masked against sliced PyTorch, float32, rms error over the output's std
GRAPH           = 1e-4   # rung 2: the ONNX graph on the CPU provider against PyTorch, float32, rms over rms
AUTOCAST_FACTOR = 1.5    # rung 3: a reduced-precision engine's error over PyTorch's autocast's, same inputs
PIXEL_STEP      = 1      # rung 4: the runtime's image against diffusers', in steps of 1/255 …
PIXEL_SHARE     = 0.999  # … which at least this share of the values must keep
CONSTANT        = 1e-6   # outputs whose std is below this share of their largest value are constant …
CONSTANT_SIZE   = 64     # … unless they are fewer than this: the similarities to one code, or to equal ones
SMALLEST_RMS    = 1e-3   # relative errors of outputs smaller than this are taken relative to this
# fmt: on

# Rung 4 runs a whole pipeline: a few guided steps from given latents show every coefficient and every input.
IMAGE_STEPS, IMAGE_GUIDANCE = 4, 7.5
IMAGE_PROMPT, IMAGE_NEGATIVE = "a red square above two small green circles", "blue"

IMAGES = 2400  # the fewest that judge what claims the same pictures and not the same function


class Bar(NamedTuple):
    """The least that the lower end of a metric's 95 % interval may be: above `difference`, over `images`."""

    difference: float
    images: int


# Shares of scenes in which everything stated is shown and nothing else: of all, and of those of words, which
# are a quarter of them and the first to suffer.
BARS = {"all": Bar(-0.02, IMAGES), "words": Bar(-0.05, IMAGES // 4)}
