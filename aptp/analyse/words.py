"""Words that are more frequent in one code's prompts than in the others', with their significance.

Log-odds with an informative Dirichlet prior (Monroe, Colaresi and Quinn 2008, "Fightin' Words"): the prior
is the frequency of the word in all prompts, so that words seen a few times do not come first by chance.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

PRIOR = 500.0  # words that the prior is worth
SURE = 1.959964  # standard deviations: 95 %, two-sided
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Word:
    """A word's frequency.

    `here`: how many of the code's prompts have it; `elsewhere`: how many of the others'. `times`: the ratio
    of the odds; `z`: the log of that in standard deviations.
    """

    text: str
    here: int
    elsewhere: int
    times: float
    z: float


def enriched(prompts: Sequence[str], own: Sequence[bool], most: int = 12) -> list[Word]:
    """Return words that the prompts marked `own` have more often than the others, the surest first.

    A word counts once per prompt.
    """
    here, elsewhere = Counter[str](), Counter[str]()
    for prompt, mine in zip(prompts, own, strict=True):
        (here if mine else elsewhere).update(set(WORD.findall(prompt.lower())))
    if not here or not elsewhere:
        return []
    found = [_compared(text, here, elsewhere) for text in here]
    return sorted((word for word in found if word.z > SURE), key=lambda word: (-word.z, word.text))[:most]


def _compared(text: str, here: Counter[str], elsewhere: Counter[str]) -> Word:
    all_here, all_elsewhere = here.total(), elsewhere.total()
    prior = PRIOR * (here[text] + elsewhere[text]) / (all_here + all_elsewhere)
    one, other = here[text] + prior, elsewhere[text] + prior
    odds = math.log(one / (all_here + PRIOR - one)) - math.log(other / (all_elsewhere + PRIOR - other))
    return Word(text, here[text], elsewhere[text], math.exp(odds), odds / math.sqrt(1 / one + 1 / other))
