"""``laminet train DATA --target NAME -o OUTPUT``: make a network from a table."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.cli.common import CommandError, one_line, print_sentences
from laminet.cli.learning.lesson import Choices, Lesson, lesson_of
from laminet.cli.learning.options import (
    EPOCHS,
    EPOCHS_ALONE,
    FORMATS,
    LEARNING_RATE,
    PATIENCE,
    add_table_options,
    add_training_options,
)
from laminet.cli.learning.scores import (
    Trial,
    better_linear,
    linear_model,
    score_table,
    trivial_model,
)
from laminet.core import runtime
from laminet.core.layers.dense import Dense
from laminet.core.mlp import MLP
from laminet.core.wording import figure, short_name
from laminet.files.arrow_types import require_pyarrow
from laminet.files.safetensors_files import save
from laminet.files.samples import source_name
from laminet.files.tables import as_option, read_table
from laminet.optim import FirstOrder, LevenbergMarquardt, Muon, as_optimizer
from laminet.show.matplotlib_extra import PICTURES, require_matplotlib
from laminet.show.text import text_table
from laminet.training import Fit, TrainingError, fit

if TYPE_CHECKING:
    from laminet.cli.common import Commands
    from laminet.files.tables import Table
    from laminet.optim import Optimizer

__all__ = ["add_parser"]

_EPILOG = """\
examples:
  laminet train houses.csv --target price -o price.safetensors --plot curve.png
  laminet train people.csv --target risk --ignore id,name --missing drop -o risk.safetensors
  laminet predict risk.safetensors people.csv -o risks.csv --classes --keep id

Every column that is neither a target nor left out is a feature. Columns of text become one feature
for each text that there is, called color=red, by which laminet predict finds them again. Columns
of true and false are numbers, 1 and 0. Inputs, and targets that are numbers, are standardised; that
becomes a part of the network. A target of text, of truth values or of few whole numbers is one of
classes; several of 0 and 1 are labels.

The test part is for the closing table alone. By the validation part training stops, and the network
of the best epoch is taken. --test 0 and --validation 0 leave more to learn from, and less to judge
by. The same command makes the same network (--seed).

OUTPUT is complete or absent. Ctrl-C ends training, and OUTPUT is the best network so far.
"""


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "train",
        help="make a network from a table",
        description="Make a network from a table, and say how well it does on rows that it has\n"
        "never seen, beside a trivial and a linear model.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "data", metavar="DATA", help="a table (.csv, .parquet, .npy), or - for standard input"
    )
    parser.add_argument(
        "-o", "--output", metavar="OUTPUT", required=True, help="the network: .safetensors"
    )
    add_table_options(parser)
    add_training_options(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    format_ = _format(arguments)
    _check_targets(arguments)
    method = _method(arguments)
    asked = [*arguments.target, *(arguments.columns or ()), *arguments.ignore]
    asked += arguments.categories
    if arguments.patience is not None and arguments.validation == 0:
        raise CommandError(
            "--patience is for the validation loss, and --validation 0 leaves none: --epochs says "
            "when to stop"
        )
    table = read_table(arguments.data, format_, arguments.separator or ",", asked)
    choices = Choices(
        arguments.target,
        arguments.columns,
        arguments.ignore,
        arguments.categories,
        arguments.task,
        arguments.missing,
    )
    dtype = np.dtype(arguments.dtype)
    lesson = lesson_of(table, choices, dtype, arguments.test, arguments.validation, arguments.seed)
    if lesson.task != "numbers" and arguments.optimizer == LevenbergMarquardt.name:
        raise CommandError(
            f"--optimizer {arguments.optimizer} makes squares of errors small, and "
            f"{table.source} has {lesson.task} to predict"
        )
    threads = arguments.threads
    with nullcontext() if threads is None else runtime.num_threads(threads):
        _print_lesson(table, lesson)
        found, failure = _trained(arguments, lesson, method)
        # Saved before it is judged: whoever has seen enough then may leave.
        save(found.network, arguments.output, missing=lesson.means)
        if arguments.plot is not None:
            found.plot(arguments.plot)
        _print_network(found)
        _print_scores(lesson, found.network, dtype, arguments.seed)
    _print_what_next(arguments, lesson, format_)
    if failure is not None:
        raise CommandError(f"{failure}; {arguments.output} is the best network so far")
    if found.stopped == "interrupted":
        raise KeyboardInterrupt


def _format(arguments: argparse.Namespace) -> str:
    suffix = Path(arguments.data).suffix.lower().lstrip(".")
    known = suffix in FORMATS and arguments.data != "-"
    if known and arguments.format not in (None, suffix):
        raise CommandError(f"--format {arguments.format}: the name of the file says otherwise")
    format_: str | None = suffix if known else arguments.format
    if format_ is None:
        raise CommandError(
            f"DATA {arguments.data or repr('')}: the name must end in .csv, .parquet or .npy, or "
            "--format say which it is"
        )
    if arguments.separator is not None and format_ != "csv":
        raise CommandError("--separator is for .csv, which DATA is not")
    if format_ == "parquet":
        require_pyarrow(source_name(arguments.data))
    return format_


def _check_targets(arguments: argparse.Namespace) -> None:
    """Refuse files that could not be written, before anything is read."""
    if Path(arguments.output).suffix.lower() != ".safetensors":
        raise CommandError(
            f"OUTPUT {arguments.output or repr('')}: the name must end in .safetensors; laminet "
            "convert makes other files of it"
        )
    written = {"OUTPUT": arguments.output}
    if arguments.plot is not None:
        if Path(arguments.plot).suffix.lower() not in PICTURES:
            raise CommandError(
                f"--plot {arguments.plot or repr('')}: the name must end in {', '.join(PICTURES)}"
            )
        try:
            require_matplotlib()
        except ImportError as error:
            raise CommandError(f"--plot: {error}") from None
        written["--plot"] = arguments.plot
    for name, path in written.items():
        directory = os.path.dirname(path) or "."
        if not os.path.isdir(directory):
            raise CommandError(f"{name} {path}: there is no directory {directory}")
        if os.path.isdir(path):
            raise CommandError(f"{name} {path}: a directory, not a file to write")
        both_there = os.path.exists(path) and os.path.exists(arguments.data)
        if both_there and os.path.samefile(path, arguments.data):
            raise CommandError(f"{name} {path} is DATA: it would be overwritten")
        try:
            with tempfile.TemporaryFile(dir=directory):
                pass
        except OSError as error:
            raise CommandError(
                f"{name} {path}: {error.strerror}, so nothing can be written there"
            ) from None
    if len({os.path.realpath(path) for path in written.values()}) < len(written):
        raise CommandError(f"--plot {arguments.plot} is OUTPUT: one would overwrite the other")


def _method(arguments: argparse.Namespace) -> Optimizer:
    method = as_optimizer(arguments.optimizer)
    if isinstance(method, FirstOrder):
        rate = LEARNING_RATE if arguments.learning_rate is None else arguments.learning_rate
        if isinstance(method, Muon):  # so scaled that one rate, of AdamW's size, is for all
            return Muon(rate, scale="match_rms_adamw", adamw_learning_rate=rate)
        return as_optimizer({**method.to_dict(), "learning_rate": rate})
    for option in ("learning_rate", "batch_size"):
        if getattr(arguments, option) is not None:
            raise CommandError(
                f"--{option.replace('_', '-')} has no meaning for {arguments.optimizer}, which "
                "looks at all samples in each step and finds out how far to go"
            )
    return method


def _trained(
    arguments: argparse.Namespace, lesson: Lesson, method: Optimizer
) -> tuple[Fit, str | None]:
    """Return what training comes to, after Ctrl-C too, and the error that has ended it, if any."""
    training, held_out = lesson.training, lesson.validation
    net = MLP.init(
        [training.x.shape[1], *arguments.hidden, lesson.out_features],
        arguments.activation,
        dtype=arguments.dtype,
        seed=arguments.seed,
        outputs=lesson.outputs,
        feature_names=lesson.features,
    )
    validated = len(held_out) > 0
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "training was interrupted", UserWarning)
        try:
            found = fit(
                net,
                training.x,
                lesson.told(training),
                optimizer=method,
                batch_size=arguments.batch_size or _batch_size(len(training)),
                epochs=arguments.epochs or (EPOCHS if validated else EPOCHS_ALONE),
                patience=(arguments.patience or PATIENCE) if validated else None,
                metrics={} if validated else None,  # a network would be made for them each time
                validation=(held_out.x, lesson.told(held_out)) if validated else None,
                standardize="both" if lesson.task == "numbers" else "inputs",
                seed=arguments.seed,
            )
        except TrainingError as error:
            if (made := _made_before(error)) is None:
                raise CommandError(f"{error}; nothing is written") from None
            return made, str(error)
        except (ImportError, MemoryError) as error:
            if not str(error):
                raise
            raise CommandError(f"--optimizer {arguments.optimizer}: {error}") from None
    return found, None


def _made_before(error: TrainingError) -> Fit | None:
    """Return what a run had come to before its loss was no longer finite; None for nothing."""
    network, history = error.network, error.history
    losses = () if history is None else history.validation_loss or history.loss
    if network is None or not np.isfinite(losses).any():
        return None
    best = int(np.nanargmin(losses)) if history.validation_loss else len(losses) - 1
    return Fit(network, history, 1 + best, "diverged")


def _batch_size(rows: int) -> int:
    """Return how many samples make a step: some 50 steps an epoch where there are enough."""
    return min(256, max(32, rows // 50))


def _print_lesson(table: Table, lesson: Lesson) -> None:
    parts = (lesson.training, lesson.validation, lesson.test)
    total = sum(map(len, parts))
    columns = len(lesson.columns)
    features = lesson.training.x.shape[1]
    text = f"{table.source}: {total:,} samples"
    if lesson.dropped:
        text += f" ({lesson.dropped:,} rows with missing values are left out)"
    text += f", {features} feature{'s' * (features > 1)}"
    if features != columns:
        text += f" from {columns} column{'s' * (columns > 1)}"
    text += ". "
    if lesson.classes is not None:
        shown = ", ".join(map(str, lesson.classes[:8].tolist()))
        more = f", ... ({len(lesson.classes)} in all)" if len(lesson.classes) > 8 else ""
        text += f"Classes of {lesson.targets[0]}: {shown}{more}"
        if lesson.classes.dtype.kind in "if":
            text += " (--task numbers takes them as numbers)"
    else:
        text += f"{lesson.task.capitalize()} to predict: {', '.join(lesson.targets)}"
        if lesson.task == "labels":
            text += " (--task numbers takes their 0 and 1 as numbers)"
    text += f". {len(parts[0]):,} samples to learn from, {len(parts[1]):,} to stop by, "
    print_sentences(one_line(f"{text}{len(parts[2]):,} to test with."))
    for remark in lesson.remarks:
        print_sentences(one_line(f"{remark[0].upper()}{remark[1:]}."))
    if lesson.classes is not None:
        counts = np.bincount(parts[0].y, minlength=len(lesson.classes))
        if counts.min() < 2:
            label = str(lesson.classes[counts.argmin()])
            have = "1 sample" if counts.min() else "no sample"
            print_sentences(f"Of the class {label!r} there is {have} to learn from.")
    sys.stdout.flush()


def _print_network(found: Fit) -> None:
    net, count = found.network, len(found.history)
    ends = {
        "patience": f" of {count}, after which nothing better came",
        "interrupted": f" of {count}: training was interrupted, this is the best network so far",
        "diverged": f" of {count}, after which training diverged: this is the best network so far",
    }
    best = found.best_epoch if found.history.validation_loss else count
    if found.stopped == "epochs" and found.history.validation_loss and best == count:
        ends["epochs"] = f" of {count}, and it was still getting better (--epochs)"
    # Without the layers that standardise.
    sizes = [net.in_features, *(a.out_features for a in net.layers if isinstance(a, Dense))]
    seconds = sum(found.history.seconds)
    print_sentences(
        f"A network {short_name(sizes)} in {net.dtype}, {net.num_parameters:,} parameters; epoch "
        f"{best}{ends.get(found.stopped, f' of {count}')}; {figure(seconds)} s."
    )


def _print_scores(lesson: Lesson, net: MLP, dtype: np.dtype[Any], seed: int) -> None:
    if len(lesson.test):
        part, which = lesson.test, "that it has never seen"
    elif len(lesson.validation):
        part, which = lesson.validation, "by which the epoch was chosen, which flatters it (--test)"
    else:
        part, which = lesson.training, "that it was made from, which says nothing of others"
    network, linear = Trial("this network", net), linear_model(lesson, dtype, seed)
    rows = score_table(lesson, part, [network, linear, trivial_model(lesson)])
    print(f"\nOn the {len(part):,} samples {which}:\n")
    print(text_table(rows, text_columns=1 if lesson.classes is not None else 2))
    if better_linear(part, network, linear):
        print_sentences("\nThe linear model does better here: --hidden 0 makes one.")


def _print_what_next(arguments: argparse.Namespace, lesson: Lesson, format_: str) -> None:
    data = arguments.data if arguments.data != "-" else f"samples.{format_}"
    options = "" if lesson.task == "numbers" else " --classes"
    if not lesson.is_named:
        options += f" --columns {as_option(lesson.columns)}"
    if lesson.dropped:
        options += " --missing drop"
    files = " ".join(map(_as_argument, (arguments.output, data)))
    print(
        f"\n{arguments.output} is written. To use it:\n"
        f"laminet predict {files} -o predicted.csv{options}"
    )
    if lesson.means is not None:
        print("Missing values of samples are taken to be the means of what it learnt from.")


def _as_argument(path: str) -> str:
    """Return a file as a command line takes it."""
    return shlex.quote(f"./{path}" if path.startswith("-") else path)
