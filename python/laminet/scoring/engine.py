"""A network over a table, block by block: read ahead, computed, and written behind."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.files.arrow_files import open_stream
from laminet.files.folders import Part
from laminet.files.samples import SampleError, source_name
from laminet.scoring.answers import NoAnswerError
from laminet.scoring.formats import is_regular, open_samples, parts_with_constants
from laminet.scoring.overlap import ahead, behind
from laminet.scoring.targets import target_of

if TYPE_CHECKING:
    from laminet.files.columns import Request
    from laminet.files.samples import Block, Samples
    from laminet.scoring.answers import Answer
    from laminet.scoring.job import Job
    from laminet.scoring.overlap import Behind
    from laminet.scoring.targets import Target

__all__ = ["Done", "run"]


@dataclass
class Done:
    """How far a job is: files and rows that are computed."""

    rows: int = 0
    files: int = 0


def run(job: Job) -> Done:
    """Do a job: the target is complete when this returns, and as it was before if it raises.

    Raises
    ------
    SampleError
        If the source does not give samples, or the target cannot hold the result.
    OSError
        If a file cannot be read or written.
    KeyboardInterrupt
        After Ctrl-C; its text says how far the job was.
    """
    done = Done()
    is_stream = job.stream is not None
    parts: list[tuple[Part, Mapping[str, Any]]] = [(Part("source", "source"), {})]
    if not is_stream:
        parts = parts_with_constants(job.source, job.source_format)
    # A pipe is read and written in turn: a thread that waits for one could not be interrupted.
    are_regular = is_stream or all(is_regular(part.path) for part, _ in parts)
    overlapped = job.target != "-" and are_regular
    try:
        with target_of(job) as target, behind(overlapped=overlapped) as later:
            for part, constants in parts:
                request = job.request
                if job.into_folder and request.keep:
                    # The path of a file says what its folders are named for, of the result also.
                    kept = [name for name in request.keep if name not in part.keys]
                    request = replace(request, keep=kept)
                with (
                    _opened(job, part, request, constants) as samples,
                    ahead(samples.blocks, overlapped=overlapped) as blocks,
                ):
                    if samples.remark:
                        job.remark(samples.remark)
                    target.begin(part, samples, request)
                    seen = replace(samples, blocks=blocks)
                    _compute(job, part.path, seen, target, later, done)
                    later.wait()
                    target.end_part()
                done.files += 1
            target.finish()
    except (KeyboardInterrupt, SystemExit) as leave:
        so_far = _so_far(job, done, len(parts))
        job.remark(so_far)
        if isinstance(leave, SystemExit):
            raise
        raise KeyboardInterrupt(so_far) from None
    return done


def _opened(
    job: Job, part: Part, request: Request, constants: Mapping[str, Any]
) -> AbstractContextManager[Samples]:
    if job.stream is not None:
        return open_stream(job.stream, request, job.rows)
    return open_samples(job.source_format, part.path, request, job.rows, job.separator, constants)


def _so_far(job: Job, done: Done, files: int) -> str:
    """Return what had been done when somebody ended it."""
    of = f" and {done.files} of {files} files" if files > 1 else ""
    then = "" if job.target == "-" else f"; {job.target} is as it was before"
    return f"{source_name(job.source)}: ended after {done.rows} rows{of}{then}"


def _compute(
    job: Job,
    path: str,
    samples: Samples,
    target: Target,
    later: Behind,
    done: Done,
) -> None:
    for given in job.shown(samples):
        block = job.settled(given, samples, source_name(path))
        try:
            result = _call(job.answer, block.x)
        except NoAnswerError as error:
            raise _without_answer(job, block, path, error) from None
        later(target.append, result, block.kept)
        done.rows += len(block.x)


def _call(answer: Answer, x: NDArray[Any]) -> NDArray[Any]:
    return answer.of(x)


def _without_answer(job: Job, block: Block, path: str, error: Exception) -> SampleError:
    """Return the error with the place in the file: the network knows its block alone."""
    name = source_name(path)
    nan = np.flatnonzero(np.isnan(job.request.net(block.x)).any(axis=-1))
    if not len(nan):
        return SampleError(f"{name}: {error}")
    place = block.where(int(nan[0]))
    return SampleError(f"{name}: {place}: the sample has a NaN among its outputs, and so no label")
