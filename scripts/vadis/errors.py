# SPDX-License-Identifier: GPL-2.0-or-later
"""The one exception users are meant to read."""


class Failure(Exception):
    """Something a user can act on.

    ``message`` says what failed, with the value seen; each hint says what to
    do next. Command line tools print it and exit with ``status``.
    """

    def __init__(self, message, *hints, status=1):
        super().__init__(message)
        self.message = message
        self.hints = hints
        self.status = status

    def __str__(self):
        return "\n    ".join((self.message,) + self.hints)
