"""A child has no threads of its parent (`fork`, as gunicorn does with `--preload`). It must not wait for them.

A lock that one of them held would stay closed, and what one of them fetched would never come.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forked(Protocol):
    def after_fork(self) -> None:
        """Forget the threads. Called in the child."""


_alive: weakref.WeakSet[Forked] = weakref.WeakSet()


def prepare_for_forks(it: Forked) -> None:
    _alive.add(it)


def _after_fork() -> None:
    for it in list(_alive):
        it.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
