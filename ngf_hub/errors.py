"""The errors a user can do something about.

Every one is a single line that says what is wrong, and a hint that says what
to do. The command line prints both and ends with exit code 2.
"""

from __future__ import annotations


class NgfHubError(Exception):
    """Something the user can mend.

    Args:
        message: One line: what is wrong.
        hint: What to do about it, if there is something.
        details: Longer material, such as two lists of class names, that is
            printed below the line.
    """

    def __init__(self, message: str, hint: str = "", details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class HubError(NgfHubError):
    """A repository, revision or file could not be fetched or written."""


class ModelError(NgfHubError):
    """The model is no image classifier that can be handled."""


class UnsafeFileError(NgfHubError):
    """A file was refused because loading it could run code."""


class DataError(NgfHubError):
    """The images or labels do not fit what was asked."""


class TriggerError(NgfHubError):
    """A trigger cannot be read, or does not fit the images."""


class MethodError(NgfHubError):
    """A purification method cannot run as asked, or diverged."""


class ReportError(NgfHubError):
    """A report is missing, broken or of another version."""
