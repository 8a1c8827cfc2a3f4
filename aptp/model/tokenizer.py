"""A CLIP tokenizer for pipelines that come without one: byte-level BPE whose merges are learned from a
short word list.

Any text can be encoded, byte by byte where no merge applies; the words of the list become single tokens.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
END_OF_WORD = "</w>"

WORDS = """
a an the of in on at with and or to from by is are no not one two three four five six small large tiny
big medium left right above below next between behind under over top bottom centre corner side edge
middle near far red orange yellow green blue purple pink brown black white grey gray cyan magenta gold
silver dark light bright plain striped dotted checked circle square triangle star cross ring heart
diamond hexagon circles squares triangles stars crosses rings hearts diamonds hexagons shape shapes
colour color background texture word words written text letters sign reading says image picture photo
photograph painting drawing sketch illustration portrait view scene style detailed man woman person
people child children girl boy cat dog bird horse car train boat house street city tree trees flower
flowers mountain river sea sky sun moon snow forest beach table chair room window door kitchen food pizza
cake book clock standing sitting walking running holding wearing looking riding playing hello open stop
exit sale love home tea milk fish lion bear wolf fox cow pig ant bee rain wind fire lake road ship taxi
bus map key lamp cup hat pen art jazz zoo quiz yes
""".split()  # noqa: SIM905 (a word list reads better as text)


def make_tokenizer(length: int = 77) -> CLIPTokenizer:
    """Make a CLIPTokenizer of fewer than 1,024 tokens, always the same; the last two are begin and end of
    text.
    """
    # Every byte once inside and once at the end of a word, so that nothing is unknown.
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = learn_merges(WORDS)
    tokens = [*alphabet, *(letter + END_OF_WORD for letter in alphabet), *map("".join, merges), BEGIN, END]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=length)


def learn_merges(words: Sequence[str]) -> list[tuple[str, str]]:
    """Byte-pair encoding: merges the commonest pair until every word is one token; ties go by alphabet.

    The trainers of the *tokenizers* library break ties by hash order, which differs from run to run.
    """
    spelled = [[*word[:-1], word[-1] + END_OF_WORD] for word in dict.fromkeys(words)]
    merges = []
    while pairs := Counter(pair for word in spelled for pair in pairwise(word)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        spelled = [_merge(word, best) for word in spelled]
    return merges


def _merge(word: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for part in word:
        if merged and (merged[-1], part) == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return merged
