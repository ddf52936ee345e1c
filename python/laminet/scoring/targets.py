"""Where results go: one file, standard output, or a folder with a file for each of the source."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from laminet.files.atomic import errors_about, replacing
from laminet.files.atomic_folders import appearing
from laminet.files.samples import SampleError
from laminet.scoring.formats import format_of, require_rows, writer_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laminet.files.columns import Request
    from laminet.files.folders import Part
    from laminet.files.samples import Samples
    from laminet.scoring.formats import Writer
    from laminet.scoring.job import Job

__all__ = ["Target", "target_of"]

_STANDARD_OUTPUT = "standard output"


class Target(ABC):
    """What takes the results of the source's files, one after the other."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._writer: Writer | None = None
        self._kept: list[str] = []
        self._one_sample = False
        self._rows = 0

    @abstractmethod
    def begin(self, part: Part, samples: Samples, request: Request) -> None:
        """Begin with a file of the source."""

    @abstractmethod
    def end_part(self) -> None:
        """End with it; all of its blocks are appended."""

    @abstractmethod
    def finish(self) -> None:
        """End with all of them."""

    def append(self, result: NDArray[Any], kept: list[Any]) -> None:
        """Write a block."""
        assert self._writer is not None
        with errors_about(self._name):
            self._writer.append(result, kept)
        self._rows += len(result)

    def abandon(self) -> None:
        """Leave files as they are."""
        if self._writer is not None:
            self._writer.abandon()

    @property
    def _name(self) -> str:
        return _STANDARD_OUTPUT if self._job.target == "-" else self._job.target

    def _open(self, file: IO[bytes], samples: Samples, request: Request) -> None:
        job = self._job
        kept = self._kept = samples.kept_names
        heading = job.heading or job.target_format != "csv" or (bool(kept) and all(kept))
        keep = zip(kept, request.keep or (), strict=True)
        names = [*(name or f"column_{number}" for name, number in keep), *job.answer.names]
        if heading and job.target_format != "npy":
            self._require_one_of_each(names)
        self._one_sample, self._rows = samples.one_sample, 0
        self._writer = writer_of(
            job.target_format,
            file,
            names,
            heading=heading,
            separator=job.separator,
            in_order=job.target == "-",
        )

    def _require_one_of_each(self, names: list[str]) -> None:
        """Refuse columns to keep that are called like a result, or like each other."""
        job = self._job
        for name in names:
            if names.count(name) > 1:
                problem = f"{job.words[1]} would have two columns named {name!r}"
                if name in job.answer.names and name in (job.request.keep or ()):
                    option = job.request.options[1]
                    problem = f"{option} names {name!r}, as a result is called: {problem}"
                raise SampleError(problem)

    def _close(self) -> None:
        assert self._writer is not None
        with errors_about(self._name):
            self._writer.finish(one_sample=self._one_sample)
        self._writer = None


class _OneFile(Target):
    def __init__(self, job: Job, file: IO[bytes]) -> None:
        super().__init__(job)
        self._file = file

    def begin(self, part: Part, samples: Samples, request: Request) -> None:
        if self._writer is None:
            self._open(self._file, samples, request)
        elif self._kept != samples.kept_names:
            raise SampleError(
                f"{part.path}: its columns to keep have other names than those of the files before"
            )

    def end_part(self) -> None:
        pass

    def finish(self) -> None:
        self._close()
        self._file.flush()
        if self._job.target != "-" and not self._one_sample:
            require_rows(self._job.target_format, self._file.name, self._rows)


class _Folder(Target):
    def __init__(self, job: Job, folder: Path) -> None:
        super().__init__(job)
        self._folder = folder
        self._file: IO[bytes] | None = None

    def begin(self, part: Part, samples: Samples, request: Request) -> None:
        path = self._folder / part.name
        if format_of(part.name) != self._job.target_format:
            path = path.with_suffix(f".{self._job.target_format}")
        with errors_about(self._name, always=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "xb")  # noqa: SIM115 - closed at the end of the part
        # Those that the path says are columns again where the folder is read.
        by_path = [name for name in self._job.request.keep or () if name in part.keys]
        self._require_one_of_each([*by_path, *self._job.answer.names])
        self._open(self._file, samples, request)

    def end_part(self) -> None:
        assert self._file is not None
        self._close()
        with errors_about(self._name):
            self._file.close()
        if not self._one_sample:
            require_rows(self._job.target_format, self._file.name, self._rows)

    def finish(self) -> None:
        pass

    def abandon(self) -> None:
        super().abandon()
        if self._file is not None:
            self._file.close()


@contextmanager
def target_of(job: Job) -> Iterator[Target]:
    """Give where results go: complete if the block succeeds, and as it was if not."""
    with _opened(job) as target:
        try:
            yield target
        except BaseException:
            target.abandon()
            raise


@contextmanager
def _opened(job: Job) -> Iterator[Target]:
    if job.target == "-":
        yield _OneFile(job, sys.stdout.buffer)
    elif job.into_folder:
        with appearing(job.target) as folder:
            yield _Folder(job, folder)
    else:
        with replacing(job.target) as temporary, open(temporary, "wb") as file:
            yield _OneFile(job, file)
