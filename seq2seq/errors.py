"""Errors that are the user's to mend, told in lines of the form `place: what; remedy`.

The command line prints the message and exits with status 2. Any other exception is a bug.
"""

from collections.abc import Iterable


class UserError(Exception):
    """Something that the user can mend; the message says where, what and how."""


class SettingsError(UserError):
    """Everything that is wrong with a recipe at once.

    Attributes:
        lines: One message for each mistake.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = list(lines)
        super().__init__("\n".join(self.lines))


class DataError(UserError):
    """A corpus, tokenizer model or input file that is missing or not as it must be."""


class RunError(UserError):
    """A run directory that is missing, incomplete or of another recipe."""


class FileError(UserError):
    """A file or folder that the system doesn't let us read or write."""
