"""The backend's log: a JSON object a line, with the job's id where it is about a job. Never a picture or a key."""

from __future__ import annotations

import json
import logging
import logging.handlers
import time
from pathlib import Path

MAX_BYTES = 2_000_000
OLD_FILES = 3


class JsonLines(logging.Formatter):
    """Fields: `time` (UTC), `level`, `message`, `where` (the module), and `job` as given by `extra={"job": …}`."""

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "where": record.name.removeprefix("unocclude."),
            "message": record.getMessage(),
        }
        job = getattr(record, "job", None)
        if job is not None:
            line["job"] = job
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def log_to(path: Path) -> None:
    """All that the package logs, from `info` up."""
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=OLD_FILES, encoding="utf-8")
    handler.setFormatter(JsonLines())
    root = logging.getLogger("unocclude")
    root.addHandler(handler)
    root.setLevel(logging.INFO)
