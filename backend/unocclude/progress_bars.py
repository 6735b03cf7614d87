"""A bar per stage on the terminal."""

from __future__ import annotations

from types import TracebackType

from tqdm import tqdm

from unocclude.pipeline.types import Image


class ProgressBars:
    """A `Progress` for people. Use as a context manager, so that the last bar is closed."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._stage = ""

    def __call__(self, stage: str, step: int, total: int, preview: Image | None = None) -> None:
        if stage != self._stage or self._bar is None or self._bar.total != total:
            self._close()
            self._stage, self._bar = stage, tqdm(total=total, desc=f"{stage:<9}", unit="step")
        self._bar.update(step - self._bar.n)

    def __enter__(self) -> ProgressBars:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
