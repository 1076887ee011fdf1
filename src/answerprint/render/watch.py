"""Files that a job's frames depend on beside its source: LUTs, references, learned looks; each by its contents."""

from __future__ import annotations

import hashlib
from pathlib import Path

from answerprint import disk
from answerprint.errors import JobError
from answerprint.shots.decisions.model import files_of, fingerprint

_WHOLE = 256 << 20  # bytes: below this all of a file is read; a clip as reference is known by size, time and both ends


class Watch:
    """The files of a job with their contents as they were when it was planned."""

    def __init__(self) -> None:
        self._digests: dict[Path, tuple[str, str]] = {}

    def digest(self, path: Path) -> str | None:
        """A hash of the contents of a file, a folder or a sequence; None where there is none."""
        files = files_of(path)
        if not files:
            return None
        try:
            digest = _contents(files)
            self._digests[path] = disk.stamp(files), digest
        except OSError as error:
            raise JobError(f"{path}: cannot be read: {error.strerror or error}") from None
        return digest

    def check(self) -> None:
        """Makes sure that all is as it was; sizes and times are looked at, and contents where these moved.

        Raises:
            JobError: a file changed or is gone.
        """
        for path, (mark, digest) in list(self._digests.items()):
            try:
                files = files_of(path)
                same = bool(files) and (disk.stamp(files) == mark or self.digest(path) == digest)
            except OSError:
                same = False
            if not same:
                raise JobError(
                    f"{path}: changed while the job ran; run the same command again, only what depends on it is "
                    "rendered anew"
                )


def _contents(files: list[Path]) -> str:
    contents = hashlib.sha256()
    for file in files:
        facts = file.stat()
        large = facts.st_size > _WHOLE
        contents.update((f"{facts.st_mtime_ns} {fingerprint(file)}" if large else disk.digest(file)).encode())
    return contents.hexdigest()[:32]
