"""The score of a picture for its caption. Only what the caption states is scored.

A picture with the wrong number of things gets no credit for a single thing or a pair: which of three things
was meant as the red circle is not for the judge to guess in the generator's favour.
"""

from aptp.data.scenes.scene import Scene, Thing
from aptp.data.scenes.vocabulary import PLACES, RELATIONS, SIDE
from aptp.evaluate.detections import Detection, Reading

Score = dict[str, float]  # measure: 1 shown, 0 not; for letters the share that is right


def score(scene: Scene, reading: Reading) -> Score:
    """Return every measure that `scene` states, and `all`: everything stated is shown, and nothing else.

    single: shape, colour, size, position. count: count, shape, colour. pair: `first shape`, `second
    colour`, … of the things that stand where the caption puts the first and the second; `relation`;
    `both`: right shapes and colours in the right places. word: letters, word, colour, row. Of all:
    `background`, `texture`.
    """
    shown = {"single": _single, "count": _count, "pair": _pair, "word": _word}[scene.tier](scene, reading)
    if scene.background:
        shown["background"] = reading.background.colour == scene.background.colour
        shown["texture"] = reading.background.texture == scene.background.texture
    alone = not reading.detections if scene.tier == "word" else reading.lettering is None
    shown["all"] = alone and all(value == 1 for value in shown.values())
    return {name: float(value) for name, value in shown.items()}


def binding(scene: Scene, reading: Reading) -> dict[str, str]:
    """Say how a pair is bound, for `shape` and `colour` where the two things differ in it: `right`, `swapped`
    (each thing has the other's) or `other`. Empty for other tiers.
    """
    found: dict[str, str] = {}
    for what in ("shape", "colour") if scene.tier == "pair" else ():
        stated = [getattr(thing, what) for thing in scene.things]
        if stated[0] == stated[1]:
            continue
        seen = [getattr(detection, what) for detection in _placed(scene, reading)]
        found[what] = "right" if seen == stated else "swapped" if seen == stated[::-1] else "other"
    return found


def _single(scene: Scene, reading: Reading) -> dict[str, float]:
    (thing,) = scene.things
    found = reading.detections[0] if len(reading.detections) == 1 else None
    shown = _attributes(thing, found)
    if scene.place:
        shown["position"] = found is not None and _place(found) == PLACES[scene.place]
    return shown


def _count(scene: Scene, reading: Reading) -> dict[str, float]:
    """Score a count: shape and colour have to be every thing's, however many there are."""
    (thing,) = scene.things
    found = reading.detections
    return {
        "count": len(found) == scene.count,
        "shape": bool(found) and all(detection.shape == thing.shape for detection in found),
        "colour": bool(found) and all(detection.colour == thing.colour for detection in found),
    }


def _pair(scene: Scene, reading: Reading) -> dict[str, float]:
    placed = _placed(scene, reading)
    shown: dict[str, float] = {}
    for i, name in enumerate(("first", "second")):
        attributes = _attributes(scene.things[i], placed[i] if placed else None)
        shown |= {f"{name} {what}": value for what, value in attributes.items()}
    both = all(shown[f"{name} {what}"] for name in ("first", "second") for what in ("shape", "colour"))
    shown["relation"] = bool(placed) and _related(scene, placed)
    shown["both"] = both and _along(scene, placed)
    return shown


def _word(scene: Scene, reading: Reading) -> dict[str, float]:
    assert scene.word
    found = reading.lettering
    text = found.text if found else ""
    right = sum(a == b for a, b in zip(text, scene.word, strict=False))
    shown: dict[str, float] = {
        "letters": right / max(len(text), len(scene.word)),
        "word": text == scene.word,
        "colour": found is not None and found.colour == scene.colour,
    }
    if scene.place:
        shown["row"] = found is not None and found.row == scene.place
    return shown


def _attributes(thing: Thing, found: Detection | None) -> dict[str, float]:
    """Compare the attributes that the caption states of `thing` with those that were found."""
    stated = ("shape", "colour", *(["size"] if thing.size else []))
    return {what: found is not None and getattr(found, what) == getattr(thing, what) for what in stated}


def _place(found: Detection) -> tuple[int, int]:
    """Return (column, row) in the 3 × 3 grid."""
    column, row = (min(max(int(at * 3 / SIDE), 0), 2) for at in (found.x, found.y))
    return column, row


def _placed(scene: Scene, reading: Reading) -> list[Detection]:
    """Return the two detections, the one first that stands where the caption puts the first thing; none
    unless there are two.
    """
    if len(reading.detections) != 2:
        return []
    assert scene.relation
    side_by_side, in_order = RELATIONS[scene.relation]
    return sorted(
        reading.detections,
        key=lambda detection: detection.x if side_by_side else detection.y,
        reverse=not in_order,
    )


def _along(scene: Scene, placed: list[Detection]) -> bool:
    """Return whether two things lie side by side, or one over the other, as the relation says."""
    assert scene.relation
    one, other = placed
    side_by_side, _ = RELATIONS[scene.relation]
    return (abs(one.x - other.x) > abs(one.y - other.y)) == side_by_side


def _related(scene: Scene, placed: list[Detection]) -> bool:
    """Return whether the thing that looks more like the first stands where the first should.

    Where both ways of naming the two fit alike (both drawn the same, say), the picture does not tell them
    apart and so does not show the relation.
    """

    def likeness(found: list[Detection]) -> int:
        return sum(
            (detection.shape == thing.shape) + (detection.colour == thing.colour)
            for detection, thing in zip(found, scene.things, strict=True)
        )

    return _along(scene, placed) and likeness(placed) > likeness(placed[::-1])
