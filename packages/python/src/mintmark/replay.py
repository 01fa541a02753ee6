"""What may be used once is remembered for as long as it could be used again."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Final, Protocol

from .errors import VerifyError
from .forks import prepare_for_forks
from .keyset import elapsed_seconds


class Replays(Protocol):
    """Where used identifiers are remembered. Give your own to share it between processes."""

    def claim(self, *parts: str, seconds: float) -> bool:
        """Remember an identifier for so many seconds at least. False if it was remembered already."""


#: Seconds that a memory keeps what it was told, unless somebody needs longer.
REMEMBERED_SECONDS: Final = 600


class ReplayMemory:
    """The memory of one process. It is bounded, and refuses when it is full: to forget would allow replays.

    There are two generations. When the young one has reached its age, it becomes the old one, and the old one is
    dropped as a whole. So no entry has to be looked for, and each is remembered for `seconds` to twice as long.
    """

    def __init__(
        self,
        entries_max: int = 200_000,
        seconds: float = REMEMBERED_SECONDS,
        elapsed: Callable[[], float] = elapsed_seconds,
    ) -> None:
        self._entries_max = entries_max
        self._seconds = seconds
        self._elapsed = elapsed
        self._lock = threading.Lock()
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()
        self._since = elapsed()
        prepare_for_forks(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()

    def claim(self, *parts: str, seconds: float) -> bool:
        if seconds > self._seconds:
            raise ValueError(f"this memory keeps identifiers for {self._seconds} seconds")
        # A length before each part, or two lists of parts could be one text. A hash, so that all take the same room.
        framed = b"".join(b"%d:%s" % (len(part), part) for part in map(str.encode, parts))
        key = hashlib.sha256(framed).digest()
        with self._lock:
            age = self._elapsed() - self._since
            if age >= self._seconds:
                self._old = self._young if age < 2 * self._seconds else set()
                self._young = set()
                self._since += age
            if key in self._young or key in self._old:
                return False
            if len(self) >= self._entries_max:
                raise VerifyError("replay_memory_full", "the memory of used identifiers is full")
            self._young.add(key)
            return True

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
