"""What can be done to a shot: one file or folder each, named as the operation; this folder is the list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from answerprint.errors import SettingsError
from answerprint.folder import Folder

if TYPE_CHECKING:  # torch takes seconds to import, and listing must be quick
    from answerprint.operation import Operation

_FOLDER = Folder("answerprint.operations", "operation", SettingsError)
names, summary, docstring, table = _FOLDER.names, _FOLDER.summary, _FOLDER.docstring, _FOLDER.table


def load(name: str) -> Operation:
    """The operation of that name.

    Raises:
        SettingsError: there is none; the message lists those there are.
    """
    from answerprint.operation import Operation

    return Operation(name, _FOLDER.load(name))
