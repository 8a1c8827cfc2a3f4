"""The words that describe scenes, and their meaning in pixels of a 64 × 64 image."""

SIDE = 64

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
PLURALS = {"cross": "crosses"}

COLOURS = {
    "red": (220, 30, 30),
    "orange": (250, 140, 20),
    "yellow": (250, 225, 40),
    "green": (40, 160, 50),
    "cyan": (60, 210, 220),
    "blue": (40, 70, 220),
    "purple": (130, 50, 170),
    "pink": (250, 150, 200),
}

SIZES = {"small": 7, "medium": 11, "large": 15}  # radius

COUNTS = {2: "two", 3: "three", 4: "four"}

PLACES = {  # name: (column, row) of a 3 × 3 grid
    "at the top left": (0, 0),
    "at the top": (1, 0),
    "at the top right": (2, 0),
    "at the left": (0, 1),
    "in the middle": (1, 1),
    "at the right": (2, 1),
    "at the bottom left": (0, 2),
    "at the bottom": (1, 2),
    "at the bottom right": (2, 2),
}
ROWS = ("at the top", "in the middle", "at the bottom")  # where a word may stand

RELATIONS = {  # name: whether side by side (else one over the other), and whether the first comes first
    "left of": (True, True),
    "right of": (True, False),
    "above": (False, True),
    "below": (False, False),
}

GROUNDS = {"white": 235, "grey": 128, "black": 20}  # background: grey level
TEXTURES = ("plain", "striped", "dotted", "checked")

WRITTEN = """
hello open stop exit sale love home tea milk cake book tree moon fish bird lion bear wolf fox cow pig ant
bee cat dog sun sky sea rain snow wind fire lake road ship taxi bus car map key door lamp cup hat pen art
jazz zoo quiz yes
""".split()  # noqa: SIM905 (a word list reads better as text)

LETTERS = "abcdefghijklmnopqrstuvwxyz"
MAX_LETTERS = 5
