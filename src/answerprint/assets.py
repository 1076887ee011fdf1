"""What analysis makes beside numbers (contours, painted keys): files in one folder, each named by its hash.

Assets belong to a decision list. Those of `clip.decisions.toml` stand in `clip.decisions.assets/` beside it, and the
two move together: to another folder, another machine or many, the same list gives the same frames. A findings field
holds an asset's name; the house copies and checks those that findings name.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from answerprint import disk
from answerprint.errors import MediaError, SettingsError

_NAME = re.compile(r"[0-9a-f]{32}\.[a-z0-9]+")


class Assets:
    """The assets of one decision list.

    Args:
        folder: where they stand; created with the first. None is for a list that is in no file yet: a
            temporary folder, gone with this object.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or Path(tempfile.gettempdir()) / f"answerprint-assets-{uuid.uuid4().hex}"
        if folder is None:
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    @classmethod
    def beside(cls, decision_list: Path) -> Assets:
        """The assets of the decision list in that file."""
        return cls(decision_list.with_suffix(".assets"))

    def __reduce__(self) -> tuple[type[Assets], tuple[Path]]:
        # Worker processes find the folder; only the process that made a temporary one removes it.
        return Assets, (self.folder,)

    def put(self, data: bytes, ending: str) -> str:
        """Writes an asset, whole or not at all.

        Args:
            data: its contents.
            ending: of its file, with the dot: ".zip".

        Returns:
            its name: 32 hexadecimal digits of the contents' SHA-256, and the ending.

        Raises:
            MediaError: it cannot be written.
        """
        name = hashlib.sha256(data).hexdigest()[:32] + ending
        self._write(name, data)
        return name

    def take(self, file: Path, ending: str) -> str:
        """Copies a file among the assets, whole or not at all, without holding it in memory.

        Returns:
            its name, as `put` gives it.

        Raises:
            MediaError: it cannot be written.
        """
        name = disk.digest(file)[:32] + ending
        try:
            if not (self.folder / name).is_file():
                self.folder.mkdir(parents=True, exist_ok=True)
                disk.copy(file, self.folder / name)
        except OSError as error:
            raise MediaError(f"{self.folder / name}: cannot be written: {error.strerror}") from None
        return name

    def path(self, name: str) -> Path:
        """The file of an asset.

        Raises:
            SettingsError: it is not there, or the name is none that `put` gives: one could lead out of the folder.
        """
        if not _NAME.fullmatch(name):
            raise SettingsError(f"'{name}' is not the name of an asset; analyze the clip again")
        path = self.folder / name
        if not path.is_file():
            raise SettingsError(
                f"{path}: this asset of the decision list is missing; copy the folder {self.folder.name} along with "
                "the list, or analyze the clip again"
            )
        return path

    def verify(self, name: str) -> None:
        """Makes sure that an asset is what analysis made.

        Raises:
            SettingsError: it is not there, or its contents are others.
        """
        path = self.path(name)
        if disk.digest(path)[:32] != path.stem:
            raise SettingsError(f"{path}: is damaged, its contents are not those of its name; copy it again")

    def copy_to(self, other: Assets, names: Iterable[str]) -> None:
        """Copies the assets of these names into another folder, those that it has not.

        Raises:
            SettingsError: one is not there.
            MediaError: one cannot be written.
        """
        for name in names:
            if not (other.folder / name).is_file():
                other.take(self.path(name), Path(name).suffix)

    def drop_all_but(self, names: Iterable[str]) -> None:
        """Removes the assets of other names: those of earlier decisions."""
        current = set(names)
        if not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            if _NAME.fullmatch(path.name) and path.name not in current:
                path.unlink(missing_ok=True)

    def _write(self, name: str, data: bytes) -> None:
        path = self.folder / name
        try:
            if not path.is_file():
                self.folder.mkdir(parents=True, exist_ok=True)
                disk.write(path, data)
        except OSError as error:
            raise MediaError(f"{path}: cannot be written: {error.strerror}") from None


def names_in(value: Any) -> Iterator[str]:
    """The names of assets in findings: a string, or a table, list or tuple of any depth that holds some."""
    if isinstance(value, str):
        if _NAME.fullmatch(value):
            yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from names_in(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from names_in(part)
