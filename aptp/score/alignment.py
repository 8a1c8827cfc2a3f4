"""The CLIP score: how well a picture fits its caption (Hessel et al. 2021)."""

import numpy as np
import numpy.typing as npt

from aptp.score.features import Features


def clip_scores(pictures: Features, captions: Features) -> npt.NDArray[np.float64]:
    """Return 100 times the cosine between each picture and its caption, [N]; negative ones are kept."""
    one, other = pictures.astype(np.float64), captions.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    scores: npt.NDArray[np.float64] = 100 * (one * other).sum(1) / lengths
    return scores
