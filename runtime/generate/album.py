"""The results of one command: files, written as soon as images are made, and the report at the end.

What fails, or an interrupt, takes nothing away that was there before it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runtime.cli.output import put
from runtime.errors import OutputFailure, RuntimeFailure
from runtime.service.generated import Generated


class Album:
    """The results of each prompt so far. `paths` are the images' files, `sheet` that of the grid, if any."""

    def __init__(self, prompts: Sequence[str], paths: Sequence[Path], sheet: Path | None) -> None:
        self.prompts, self.paths, self.sheet = prompts, paths, sheet
        self.images: dict[int, Generated] = {}
        self.failures: dict[int, RuntimeFailure] = {}

    def __bool__(self) -> bool:
        return bool(self.images or self.failures)

    @property
    def exit_code(self) -> int:
        """0 if nothing failed, 1 if some did, the first failure's own where there is no image."""
        if self.failures and not self.images:
            return self.failures[min(self.failures)].exit_code
        return 1 if self.failures else 0

    def add(self, index: int, outcome: Generated | RuntimeFailure) -> None:
        """Save an image, or keep the reason why there is none."""
        from runtime.images.encoding import save_png

        if isinstance(outcome, RuntimeFailure):
            self.failures[index] = outcome
            return
        try:
            save_png(outcome, self.paths[index])
        except OutputFailure as failure:
            self.failures[index] = failure
        else:
            self.images[index] = outcome

    def save_sheet(self) -> None:
        """Write the grid of what was made. A failure of its own stands behind those of the prompts."""
        from runtime.images.encoding import save_grid

        if self.sheet is not None and self.images:
            try:
                save_grid([image for _, image in sorted(self.images.items())], self.sheet)
            except OutputFailure as failure:
                self.failures[len(self.prompts)] = failure

    def print_json(self) -> None:
        """Print what became of each prompt, as JSON on standard output."""
        put(json.dumps([self._plain(index) for index in self._known()], indent=1))

    def print_table(self) -> None:
        """Print the same as a table on standard error, with warnings and errors below it."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        # Text everywhere: prompts and paths are not the console's markup.
        title = Text(f"images in {self.paths[0].parent}")
        table = Table("prompt", "code", title=title, title_justify="left")
        table.add_column("margin", justify="right")
        table.add_column("ms", justify="right")
        table.add_column("file", overflow="fold")
        for index in self._known():
            table.add_row(*map(Text, self._row(index)))
        console = Console(stderr=True)
        console.print(table)
        for warning in self._warnings():
            console.print(Text(f"warning: {warning}"), soft_wrap=True)
        for index, failure in sorted(self.failures.items()):
            subject = f"{self.prompts[index][:48]!r}: " if index < len(self.prompts) else ""
            console.print(Text(f"error: {subject}{failure}"), soft_wrap=True)

    def _warnings(self) -> list[str]:
        images = [image for _, image in sorted(self.images.items())]
        warnings = [f"{image.prompt[:48]!r}: {warning}" for image in images for warning in _warnings(image)]
        # All images of a command have the same one.
        if dropped := max((image.negative_dropped_tokens for image in images), default=0):
            warnings.append(f"the negative prompt is too long: its last {dropped} tokens were not used")
        return warnings

    def _known(self) -> list[int]:
        return [index for index in range(len(self.prompts)) if index in self.images or index in self.failures]

    def _plain(self, index: int) -> dict[str, Any]:
        from runtime.images.encoding import describe

        if index in self.failures:
            return {"prompt": self.prompts[index], "error": str(self.failures[index])}
        image = self.images[index]
        return {
            "file": str(self.paths[index]),
            "milliseconds": round(image.milliseconds, 3),
            **describe(image),
        }

    def _row(self, index: int) -> tuple[str, ...]:
        if index in self.failures:
            return self.prompts[index], "", "", "", "failed"
        image = self.images[index]
        choice = image.choice
        margin = "" if choice.margin is None else f"{choice.margin:.3f}"
        return image.prompt, choice.label, margin, f"{image.milliseconds:.0f}", self.paths[index].name


def _warnings(image: Generated) -> list[str]:
    warnings = []
    if image.blank:
        warnings.append("the image is blank: untrained weights, or a broken engine (try --engine cpu)")
    if image.dropped_tokens:
        warnings.append(f"the prompt is too long: its last {image.dropped_tokens} tokens were not used")
    choice = image.choice
    if choice.out_of_distribution:
        warnings.append(
            f"the prompt is unlike those of the training (distance {choice.distance:.2f}): "
            f"expert {choice.expert} made the image"
        )
    elif choice.fell_back:
        warnings.append(f"code {choice.code} is not in the bundle: {choice.expert} made the image")
    return warnings
