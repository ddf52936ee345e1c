"""ONNX's own node cases of the operators that are read, with weights turned into initializers.

Each case has inputs and outputs computed by ONNX's reference code. Every input but one becomes an
initializer, each in turn; what `from_onnx` accepts must give the expected output for every sample,
and the rest must be refused. The lists of both are part of the test: a case that changes sides, or
a new one, is seen.
"""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

import laminet as ln
from laminet.interop.onnx.operators import OPERATORS

NAMES = sorted(name for domain, name in OPERATORS)


def cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = collect_testcases("")
    result = {}
    for case in found:
        nodes = case.model.graph.node
        arrays = all(isinstance(x, np.ndarray) for x in sum(map(tuple, case.data_sets[0]), ()))
        if len(nodes) == 1 and nodes[0].op_type in NAMES and arrays:
            result[case.name] = case
    return result


CASES = cases()


def variants(case):
    """The model with each input in turn as the network's, all others as initializers."""
    inputs, outputs = case.data_sets[0]
    for kept in range(len(inputs)):
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        for index, array in enumerate(inputs):
            if index != kept:
                name = model.graph.input[index].name
                model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
        yield model, np.asarray(inputs[kept]), np.asarray(outputs[0])


def outcome(case):
    """ "accepted" if one variant is, "refused" if none is; fail where an accepted one is wrong."""
    accepted = False
    for model, x, expected in variants(case):
        try:
            net = ln.from_onnx(model)
        except ln.FormatError:
            continue
        accepted = True
        # Where layers act on the last axis, all others count samples.
        samples = x.reshape(-1, net.in_features)
        got = net(samples.astype(net.dtype))
        assert got.size == expected.size, case.name
        # The cases' own tolerance; half precision, which is computed in float32 here, has 3 digits.
        half = expected.dtype.itemsize == 2
        np.testing.assert_allclose(
            got.reshape(expected.shape),
            expected.astype(np.float64),
            rtol=2e-3 if half else 1e-3,
            atol=2e-3 if half else 1e-6,
            err_msg=case.name,
        )
    return "accepted" if accepted else "refused"


@pytest.mark.parametrize("name", sorted(CASES))
def test_node_cases(name):
    assert outcome(CASES[name]) == ("accepted" if name in ACCEPTED else "refused")


def test_all_cases_are_known():
    assert len(CASES) > 100
    assert set(CASES) >= ACCEPTED


# Of the operators whose names are in `OPERATORS`; all other cases are refused.
ACCEPTED_NAMES = """
    add_bcast batchnorm_epsilon batchnorm_example celu celu_bfloat16 celu_float16
    clip_default_inbounds clip_default_inbounds_expanded cos cos_example div_bcast div_example
    dropout_default dropout_default_old dropout_random_old elu elu_default elu_example flatten_axis1
    flatten_axis3 flatten_default_axis flatten_negative_axis1 flatten_negative_axis3 gather_1
    gather_negative_indices gelu_default_1 gelu_default_2 gelu_tanh_1 gelu_tanh_2 gemm_alpha
    gemm_beta gemm_default_no_bias gemm_default_scalar_bias gemm_default_single_elem_vector_bias
    gemm_default_vector_bias gemm_default_zero_bias gemm_transposeB hardsigmoid hardsigmoid_default
    hardsigmoid_example hardswish identity leakyrelu leakyrelu_default leakyrelu_example
    logsoftmax_axis_2 logsoftmax_default_axis logsoftmax_example_1 logsoftmax_large_number
    logsoftmax_negative_axis matmul_2d matmul_4d_1d max_example max_float16 max_float32 max_float64
    max_one_input max_two_inputs mean_example mean_one_input mean_two_inputs min_example min_float16
    min_float32 min_float64 min_one_input min_two_inputs mish mul_bcast mul_example neg neg_example
    prelu_broadcast reduce_mean_do_not_keepdims_example reduce_mean_do_not_keepdims_random
    reduce_mean_keepdims_example reduce_mean_keepdims_random
    reduce_mean_negative_axes_keepdims_example reduce_mean_negative_axes_keepdims_random
    reduce_sum_do_not_keepdims_example reduce_sum_do_not_keepdims_random reduce_sum_keepdims_example
    reduce_sum_keepdims_random reduce_sum_negative_axes_keepdims_example
    reduce_sum_negative_axes_keepdims_random relu reshape_extended_dims reshape_negative_dim
    reshape_reduced_dims reshape_reordered_last_dims reshape_zero_and_negative_dim reshape_zero_dim
    rms_normalization_2d_axis1 rms_normalization_2d_axis_negative_1
    rms_normalization_3d_axis1_epsilon rms_normalization_3d_axis2_epsilon
    rms_normalization_3d_axis_negative_1_epsilon rms_normalization_3d_axis_negative_2_epsilon
    rms_normalization_4d_axis1 rms_normalization_4d_axis3 rms_normalization_4d_axis_negative_1
    rms_normalization_4d_axis_negative_3 rms_normalization_default_axis selu selu_default
    selu_example sigmoid sigmoid_example sin sin_example slice_default_axes slice_default_steps
    slice_end_out_of_bounds slice_neg slice_negative_axes softmax_axis_2 softmax_default_axis
    softmax_example softmax_large_number softmax_negative_axis softplus softplus_example softsign
    softsign_example squeeze squeeze_negative_axes sub_bcast sub_example sum_example sum_one_input
    sum_two_inputs swish tanh tanh_example transpose_all_permutations_0 transpose_all_permutations_1
    unsqueeze_axis_0 unsqueeze_axis_1 unsqueeze_axis_2 unsqueeze_negative_axes unsqueeze_three_axes
    unsqueeze_two_axes unsqueeze_unsorted_axes
"""
ACCEPTED = {f"test_{name}" for name in ACCEPTED_NAMES.split()}
