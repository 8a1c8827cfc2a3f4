"""The experts in quarantine: those that failed several times in a row, for a while."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

Patient = tuple[Hashable, str]  # the models that it is one of, and the name of its engine

FAILURES = 3
SECONDS = 60.0


@dataclass(slots=True)
class Health:
    """Failures by expert. After `failures` in a row it is left alone for `seconds`, then tried again."""

    failures: int = FAILURES
    seconds: float = SECONDS
    _failed: dict[Patient, int] = field(default_factory=dict)
    _until: dict[Patient, float] = field(default_factory=dict)

    def worked(self, expert: Patient) -> None:
        """Note a call that came to its end."""
        if expert in self._failed:
            del self._failed[expert]
            self._until.pop(expert, None)

    def failed(self, expert: Patient, now: float) -> None:
        """Note a call, or an opening, that did not."""
        self._failed[expert] = self._failed.get(expert, 0) + 1
        if self._failed[expert] >= self.failures:
            self._until[expert] = now + self.seconds

    def forget(self, gone: Callable[[Patient], bool]) -> None:
        """Drop what is known of experts that are gone."""
        for expert in [expert for expert in self._failed if gone(expert)]:
            del self._failed[expert]
            self._until.pop(expert, None)

    def quarantined(self, expert: Patient, now: float) -> bool:
        """Return whether nobody is to be sent to it now."""
        return self._until.get(expert, now) > now
