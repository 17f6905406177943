"""The file of labels: one JSON line an answer, on disk before the next question is asked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from semcache.errors import ConfigurationError


class Journal:
    """Appends labels to a file, and takes the last ones of this session back.

    Lines that are there already stay as they are. Half a line at the end (the machine went down
    while it was written) was never acknowledged, and is cut off; ``mended`` says so.

    Attributes:
        known: the pairs that have a label, without their order.

    Raises:
        ConfigurationError: the file cannot be written, or holds something that is no label.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mended = False
        self.known: dict[frozenset[str], bool] = {}
        self._written: list[tuple[int, frozenset[str], bool | None]] = []
        try:
            # Prompts are somebody's: for the owner only, as an export is.
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
        try:
            self._end = self._read()
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._file)

    def add(self, row: Mapping[str, Any]) -> None:
        """Write one label; when this returns, it is on disk."""
        key = frozenset((row["a"], row["b"]))
        line = json.dumps(row, ensure_ascii=True).encode() + b"\n"
        self._still_ours()
        os.lseek(self._file, self._end, os.SEEK_SET)
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        os.fsync(self._file)
        self._written.append((self._end, key, self.known.get(key)))
        self._end += len(line)
        self.known[key] = row["label"] == 1

    def undo(self) -> bool:
        """Take the last label of this session back; ``False`` where there is none."""
        if not self._written:
            return False
        self._still_ours()
        self._end, key, before = self._written.pop()
        os.ftruncate(self._file, self._end)
        os.fsync(self._file)
        if before is None:
            del self.known[key]
        else:
            self.known[key] = before
        return True

    def _still_ours(self) -> None:
        if os.fstat(self._file).st_size != self._end:
            raise ConfigurationError(
                f"{self.path} was changed by somebody else meanwhile; nothing of it was touched. "
                "Start again, or label into a file of your own"
            )

    def _read(self) -> int:
        size = os.fstat(self._file).st_size
        content = b""
        while len(content) < size:
            part = os.read(self._file, size - len(content))
            if not part:
                break
            content += part
        whole, newline, rest = content.rpartition(b"\n")
        for number, line in enumerate(whole.split(b"\n"), 1):
            if line.strip():
                self._take(line, number)
        end = len(whole) + len(newline)
        if rest:
            try:
                self._take(rest, 0)
            except ConfigurationError:
                os.ftruncate(self._file, end)
                self.mended = True
            else:
                # A whole label whose line somebody's editor left open.
                os.lseek(self._file, size, os.SEEK_SET)
                os.write(self._file, b"\n")
                end = size + 1
        return end

    def _take(self, line: bytes, number: int) -> None:
        try:
            row = json.loads(line)
            key = frozenset((str(row["a"]), str(row["b"])))
            self.known[key] = {"0": False, "1": True}[str(row["label"])]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{self.path}, line {number}: not a label; give another file with --out"
            ) from error
