"""What clients hand in: taken where the queue and the disk have room for it, and the client has not had its share."""

from __future__ import annotations

import shutil
from pathlib import Path

from unocclude.protocol import make_error
from unocclude.server.blobs import WORK_FOLDER, BlobStore
from unocclude.server.drafts import Drafts
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
        self._drafts = Drafts(home / WORK_FOLDER)

    def check_queue(self, client: str, own: bool) -> None:
        """Raises UnoccludeError where too many jobs wait already, of all or of this paired client."""
        if self._jobs.count_queued() >= MAX_QUEUED:
            raise make_error("full", f"{MAX_QUEUED} jobs are waiting already.", "Try again when some have ended.")
        if not own and self._jobs.count_queued(client) >= MAX_QUEUED_PAIRED:
            words = f"{MAX_QUEUED_PAIRED} jobs of this client are waiting already."
            raise make_error("full", words, "Try again when some have ended.")

    def take(self, digest: str, size: int, offset: int, part: bytes, client: str, own: bool) -> int:
        """Take a part of a picture file of this sha256 and so many bytes; return how many of them are here now.

        A part that is not the next one changes nothing. Raises UnoccludeError where there is no room for the file,
        ProtocolError where the part does not belong to it.
        """
        if self.has(digest, client, own):
            return size
        draft = self._drafts.get(client, digest)
        if draft is None:
            self._check_room(size, client, own)
            draft = self._drafts.begin(client, digest, size)
        try:
            draft.add(offset, part)
            if draft.complete:
                self._blobs.adopt(draft.path, digest)
                if not own:
                    self._jobs.note_upload(client, digest, size)
        except BaseException:
            self._drafts.end(client, digest)
            raise
        if draft.complete:
            self._drafts.end(client, digest)
        return draft.have

    def has(self, digest: str, client: str, own: bool) -> bool:
        """Whether this picture is here, and came from this client."""
        return self._blobs.has(digest) and (own or self._jobs.has_upload(client, digest))

    def _check_room(self, size: int, client: str, own: bool) -> None:
        free = shutil.disk_usage(self._home).free
        if free < MIN_FREE:
            raise make_error(
                "storage",
                f"Only {free >> 20} MiB are free on the disk of {self._home}.",
                f"Make room: {MIN_FREE >> 20} MiB are needed to take a job.",
            )
        if not own and self._jobs.bytes_of(client) + size > MAX_HELD_PAIRED:
            raise make_error(
                "full",
                f"This client's pictures and results take {MAX_HELD_PAIRED >> 30} GiB.",
                "Try again when the backend has forgotten old jobs, or have it keep them for a shorter time.",
            )
