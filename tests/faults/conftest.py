"""Real backends for the fault tests: real processes, real sockets, a stand-in for the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from backend_process import Backend


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """One that the tests of a module share and leave alive."""
    made = Backend(tmp_path_factory.mktemp("home")).start()
    yield made
    made.stop()


@pytest.fixture
def new_backend(tmp_path: Path) -> Iterator[Callable[..., Backend]]:
    """Makes one that a test may kill."""
    made: list[Backend] = []

    def make(**options: Any) -> Backend:
        made.append(Backend(tmp_path / "home", **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()
