"""What clients hand in: taken where the queue and the disk have room for it, and the client has not had its share."""

from __future__ import annotations

import shutil
from pathlib import Path

from unocclude.errors import InputError
from unocclude.protocol import make_error
from unocclude.server.blobs import BlobStore
from unocclude.server.jobs import JobStore

MAX_QUEUED = 64
MAX_QUEUED_PAIRED = 16
"""Of one paired client, so that it leaves room for the others."""
MAX_HELD_PAIRED = 4 << 30
"""Bytes that the pictures of one paired client and the results of its jobs may take."""
MIN_FREE = 256 << 20
"""Bytes of the disk that must be free before anything is taken: jobs will need room for their results."""


class Intake:
    """`client` is always a client's public key; `own` whether it is that of the backend's user."""

    def __init__(self, home: Path, jobs: JobStore, blobs: BlobStore) -> None:
        self._home = home
        self._jobs = jobs
        self._blobs = blobs

    def check_queue(self, client: str, own: bool) -> None:
        """Raises UnoccludeError where too many jobs wait already, of all or of this paired client."""
        if self._jobs.count_queued() >= MAX_QUEUED:
            raise make_error("full", f"{MAX_QUEUED} jobs are waiting already.", "Try again when some have ended.")
        if not own and self._jobs.count_queued(client) >= MAX_QUEUED_PAIRED:
            words = f"{MAX_QUEUED_PAIRED} jobs of this client are waiting already."
            raise make_error("full", words, "Try again when some have ended.")

    def take(self, picture: bytes, client: str, own: bool) -> str:
        """Store it and return its digest. Raises UnoccludeError where there is no room for it, InputError where it is
        empty."""
        if not picture:
            raise InputError("The picture is an empty file.", "Choose another one.")
        free = shutil.disk_usage(self._home).free
        if free < MIN_FREE:
            raise make_error(
                "storage",
                f"Only {free >> 20} MiB are free on the disk of {self._home}.",
                f"Make room: {MIN_FREE >> 20} MiB are needed to take a job.",
            )
        if not own and self._jobs.bytes_of(client) + len(picture) > MAX_HELD_PAIRED:
            raise make_error(
                "full",
                f"This client's pictures and results take {MAX_HELD_PAIRED >> 30} GiB.",
                "Try again when the backend has forgotten old jobs, or have it keep them for a shorter time.",
            )
        digest = self._blobs.put(picture)
        if not own:
            self._jobs.note_upload(client, digest, len(picture))
        return digest

    def has(self, digest: str, client: str, own: bool) -> bool:
        """Whether this picture is here, and came from this client."""
        return self._blobs.path(digest).exists() and (own or self._jobs.has_upload(client, digest))
