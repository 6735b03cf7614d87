"""Errors that a person can act on: each says what happened and what to do about it."""


class UnoccludeError(Exception):
    """What happened, and the cure, in one line each.

    `code` is a stable identifier for programs (the panel, the wire); `exit_code` is the command line's.
    """

    code = "internal"
    exit_code = 1

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message} {self.cure}".strip()


class InputError(UnoccludeError):
    """The picture, the prompt or an option cannot be used as given."""

    code = "input"
    exit_code = 2


class ModelsMissingError(UnoccludeError):
    """The weights that a profile needs are not on this machine."""

    code = "models_missing"
    exit_code = 2


class ServerUnavailableError(UnoccludeError):
    """No backend answers, or its port is taken."""

    code = "server_unavailable"
    exit_code = 2


class Cancelled(UnoccludeError):  # noqa: N818  (a wish that was granted, not a fault)
    """The job was cancelled by its owner."""

    code = "cancelled"
    exit_code = 130
