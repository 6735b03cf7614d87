"""How long a job still takes, judged by how long like jobs took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean


class Estimate:
    """Made from past runs: for each, the seconds from its begin to the end of each stage, in order."""

    def __init__(self, runs: Sequence[Mapping[str, float]]) -> None:
        alike = [run for run in runs if list(run) == list(runs[0])]
        self._ends = {stage: fmean(run[stage] for run in alike) for stage in runs[0]} if alike else {}

    def seconds_left(self, stage: str, step: int, total: int) -> float | None:
        """From this point of this stage to the job's end; None where no run tells."""
        if stage not in self._ends or total <= 0:
            return None
        stages = list(self._ends)
        place = stages.index(stage)
        begin = self._ends[stages[place - 1]] if place else 0.0
        now = begin + (self._ends[stage] - begin) * min(step / total, 1.0)
        return max(0.0, self._ends[stages[-1]] - now)
