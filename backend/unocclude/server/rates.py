"""How much one client may ask for in a while: a token bucket for each."""

from __future__ import annotations

import time


class RateLimit:
    """Each client may do `burst` things at once, and `per_second` in the long run."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._buckets: dict[str, tuple[float, float]] = {}
        """Client to tokens left, and when that was."""

    def allows(self, client: str) -> bool:
        """Whether it may do one more thing now; that is then counted."""
        now = time.monotonic()
        tokens, then = self._buckets.get(client, (self._burst, now))
        tokens = min(self._burst, tokens + self._per_second * (now - then))
        allowed = tokens >= 1
        self._buckets[client] = (tokens - 1 if allowed else tokens), now
        return allowed
