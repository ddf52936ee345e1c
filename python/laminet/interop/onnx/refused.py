"""Why an operator is none that a network is made of, in words."""

from __future__ import annotations

__all__ = ["reason_of"]

_NORMALISED = (
    "takes a statistic of each sample that no layer of laminet takes: they know its mean, "
    "LayerNormalization and RMSNormalization"
)
_CONVOLVED = "slides over an image or a sequence, which no layer of laminet does"
_RECURRENT = "keeps a state from step to step, and a laminet network has none"
_RANDOM = "draws random numbers, and a laminet network gives the same for the same sample"
_QUANTISED = "computes with integers and rounds on the way: export the model before it is quantised"
_COUNTED = "gives integers or picks by them, and a network's outputs are real numbers"
_ATTENDED = "weighs values by other values, which no layer of laminet does"
_CLEANED = "has a rule of its own for NaN or infinity: clean the samples before they go in"
_TREES = "is another kind of model than a network"
_LOOPED = "repeats nodes: export the model without a loop"

_REASONS = {
    _NORMALISED: """GroupNormalization InstanceNormalization MeanVarianceNormalization
        LpNormalization LRN Normalizer ReduceL1 ReduceL2 ReduceMin ReduceSumSquare""",
    _CONVOLVED: """Conv ConvTranspose ConvInteger DeformConv MaxPool AveragePool GlobalAveragePool
        GlobalMaxPool LpPool GlobalLpPool Resize Upsample FusedConv NhwcConv""",
    _RECURRENT: "LSTM GRU RNN",
    _RANDOM: """RandomNormal RandomNormalLike RandomUniform RandomUniformLike Multinomial
        Bernoulli""",
    _QUANTISED: """QuantizeLinear DynamicQuantizeLinear QLinearMatMul MatMulInteger QGemm
        QLinearAdd QLinearConv DynamicQuantizeMatMul MatMulNBits MatMulIntegerToFloat
        QLinearSigmoid QLinearLeakyRelu QLinearConcat MatMulBnb4""",
    _COUNTED: "TopK NonZero Unique OneHot NonMaxSuppression GatherElements ScatterND",
    _ATTENDED: "Attention MultiHeadAttention Einsum RotaryEmbedding GroupQueryAttention",
    _TREES: """TreeEnsembleClassifier TreeEnsembleRegressor TreeEnsemble SVMClassifier
        SVMRegressor""",
    _CLEANED: "IsNaN IsInf",
    _LOOPED: "Loop Scan SequenceMap",
}
_BY_NAME = {name: reason for reason, names in _REASONS.items() for name in names.split()}


def reason_of(domain: str, name: str) -> str:
    """Return why an operator cannot be read."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    of = f" of {domain[:40]!r}" if domain else ""
    return f"the operator{of} is none that a network is made of"
