"""What the tests of importers share: which frameworks are here, and how answers are compared."""

from __future__ import annotations

import importlib.util

import numpy as np
from bounds import forward_bound

import laminet as ln

# Test files and what they need (frameworks.txt), by their imports or within what they call. These
# packages are large, so the suite runs without those that are not installed, and its header says
# so; .ci/run installs them all. test_frameworks.py holds this to the imports.
NEEDED = {
    "test_from_torch.py": ("torch",),
    "test_torch_blocks.py": ("torch",),
    "test_torch_left_alone.py": ("torch",),
    "test_torch_modules.py": ("torch",),
    "test_torch_norms.py": ("torch",),
    "test_torch_programs.py": ("torch",),
    "test_torch_trees.py": ("torch",),
    "test_torch_precision.py": ("torch",),
    "test_torch_refused.py": ("torch",),
    "test_torch_results.py": ("torch",),
    "test_torch_steps.py": ("torch",),
    "test_to_torch.py": ("torch",),
    "test_torch_round_trips.py": ("torch",),
    "test_to_torch_blocks.py": ("torch",),
    "test_losses_torch.py": ("torch",),
    "test_trainer_torch.py": ("torch",),
    "test_fit_data.py": ("sklearn", "pandas"),
    "test_fit_options.py": ("sklearn", "pandas", "polars", "pyarrow"),
    "test_fit_refused.py": ("pandas",),
    "test_from_sklearn.py": ("sklearn", "joblib"),
    "test_sklearn_estimators.py": ("sklearn", "pandas"),
    "test_sklearn_training.py": ("sklearn",),
    "test_sklearn_pipelines.py": ("sklearn", "pandas"),
    "test_sklearn_ensembles.py": ("sklearn", "pandas"),
    "test_sklearn_full_batch.py": ("sklearn",),
    "test_sklearn_own.py": ("sklearn", "pandas"),
    "test_sklearn_refused.py": ("sklearn", "pandas"),
    "test_sklearn_warm_starts.py": ("sklearn",),
    "test_sklearn_weights.py": ("sklearn",),
    "test_category_columns.py": ("pyarrow",),
    "test_cli_convert.py": ("onnx", "torch"),
    "test_cli_predict_changing.py": ("pyarrow",),
    "test_cli_missing_values.py": ("pyarrow",),
    "test_cli_predict_formats.py": ("pyarrow",),
    "test_cli_predict_labels.py": ("pyarrow",),
    "test_cli_predict_streams.py": ("pyarrow",),
    "test_cli_train_data.py": ("pandas", "pyarrow", "sklearn"),
    "test_cli_train_refused.py": ("pyarrow",),
    "test_cli_train_texts.py": ("pandas", "pyarrow"),
    "test_score.py": ("pyarrow",),
    "test_score_refused.py": ("pyarrow",),
    "test_table_files.py": ("pyarrow",),
    "test_truth_values.py": ("pyarrow",),
    "test_checkpoints.py": ("torch",),
    "test_checkpoint_layers.py": ("torch",),
    "test_checkpoint_normalizers.py": ("torch",),
    "test_file_kinds.py": ("onnx", "torch"),
    "test_folded_weights.py": ("onnx", "onnxruntime", "sklearn", "torch"),
    "test_from_keras.py": ("keras", "torch"),
    "test_keras_blocks.py": ("keras", "torch"),
    "test_keras_files.py": ("keras", "torch", "h5py"),
    "test_keras_operations.py": ("keras", "torch"),
    "test_from_onnx.py": ("onnx", "onnxruntime"),
    "test_bfloat16_onnx.py": ("onnx", "onnxruntime"),
    "test_onnx_backend.py": ("onnx",),
    "test_onnx_blocks.py": ("onnx", "onnxruntime"),
    "test_onnx_hostile.py": ("onnx", "onnxruntime"),
    "test_onnx_activations.py": ("onnx", "onnxruntime"),
    "test_onnx_constants.py": ("ml_dtypes", "onnx", "onnxruntime"),
    "test_onnx_files.py": ("onnx", "onnxruntime"),
    "test_onnx_refused.py": ("onnx", "onnxruntime"),
    "test_onnx_several.py": ("onnx", "onnxruntime"),
    "test_onnx_around.py": ("onnx", "onnxruntime"),
    "test_onnx_operators.py": ("onnx", "onnxruntime"),
    "test_onnx_exporters.py": ("onnx", "onnxruntime", "onnxscript", "torch", "sklearn", "skl2onnx"),
    "test_onnx_keras.py": ("keras", "torch", "onnx", "onnxscript"),
    "test_onnx_random.py": ("onnx", "onnxruntime"),
    "test_to_onnx.py": ("onnx", "onnxruntime"),
    "test_to_onnx_blocks.py": ("onnx", "onnxruntime"),
    "test_pages.py": ("onnx", "onnxruntime", "pyarrow", "sklearn", "torch"),
    "test_tables.py": ("pandas", "polars", "pyarrow"),
    "test_tables_names.py": ("pandas", "polars", "pyarrow"),
    "test_tables_refused.py": ("pandas", "polars", "pyarrow"),
    "test_tensors.py": ("torch", "ml_dtypes"),
}

# Of these, what no import shows: PyTorch's exporter needs onnxscript, Keras a back end, Parquet
# pyarrow.
NOT_IMPORTED = {
    "test_cli_train_data.py": ("pyarrow",),
    "test_cli_train_texts.py": ("pyarrow",),
    "test_file_kinds.py": ("onnx",),
    "test_onnx_exporters.py": ("onnxscript",),
    "test_onnx_keras.py": ("torch", "onnx", "onnxscript"),
    "test_keras_files.py": ("torch",),
    "test_keras_operations.py": ("torch",),
}


def missing(names: tuple[str, ...]) -> list[str]:
    return [name for name in names if importlib.util.find_spec(name) is None]


def not_installed() -> list[str]:
    return missing(tuple(sorted({name for names in NEEDED.values() for name in names})))


def ignored_files() -> list[str]:
    return [file for file, names in NEEDED.items() if missing(names)]


def assert_agrees(net: ln.MLP, x: np.ndarray, expected: np.ndarray, folded: bool = False) -> None:
    """Fail unless net(x) is what another program computed with the same weights.

    Both obey the bound of `bounds` for their dtype, the other program with an activation of a few
    more ULP: 4 times one bound covers both. Softmax changes by no more than its input does,
    log-softmax by no more than twice that, and both round on their own. What was folded differs by
    more roundings; those networks are compared in float64, where a fixed 1e-10 of the largest
    number is far above any rounding and far below any mistake.
    """
    got = net(x)
    assert got.shape == expected.shape
    assert np.isfinite(expected).all()
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    if folded:
        assert net.dtype == np.float64
        bound = 1e-10 * scale
    else:
        bound = 4 * forward_bound(net, x.astype(net.dtype), net.dtype)
        if net.head is not None:
            u = float(np.finfo(net.dtype).eps)
            bound = 2 * bound.max(axis=-1, keepdims=True) + 16 * u * scale
    assert (np.abs(got.astype(float) - expected) <= bound).all(), np.abs(got - expected).max()
