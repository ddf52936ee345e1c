"""Why parts of Keras models are no layers of a network, and what to do about it."""

from __future__ import annotations

__all__ = ["reason"]

_PARTS = (
    "; import the layers before and after it one by one (keras.Model(inputs, outputs) makes a "
    "model of a part)"
)

# Parts of the names of classes, the first that fits; then what such a layer does.
_REASONS = {
    "TFOp": "is a function of TensorFlow, which Keras 3 does not know: write it with keras.ops",
    "TensorFlowOp": "is a function of TensorFlow, which Keras 3 does not know: write it with "
    "keras.ops",
    "Lambda": "runs Python code of its own, which cannot be read: write it with keras.ops",
    "Normalization": "normalises by statistics that no layer of laminet takes" + _PARTS,
    "Conv": "is a convolution",
    "Pool": "pools neighbouring numbers",
    "LSTM": "carries a state from step to step",
    "GRU": "carries a state from step to step",
    "RNN": "carries a state from step to step",
    "Bidirectional": "carries a state from step to step",
    "Attention": "weighs the steps of a sequence by their products",
    "Embedding": "looks up a row of a table for each number, which no matrix does: look the rows "
    "up beforehand, and import the layers after it (keras.Model(embedding.output, model.output))",
    "Encoding": "encodes categories, which no matrix does: encode them beforehand, and import the "
    "layers after it",
    "Lookup": "encodes categories, which no matrix does: encode them beforehand, and import the "
    "layers after it",
    "Hash": "encodes categories, which no matrix does: encode them beforehand, and import the "
    "layers after it",
    "Discretization": "sorts numbers into bins, which no matrix does: sort them beforehand, and "
    "import the layers after it",
    "TextVectorization": "encodes text, which no matrix does: encode it beforehand, and import the "
    "layers after it",
    "Masking": "marks steps to be skipped: leave them out beforehand, and import the layers after "
    "it",
    "ZeroPadding": "puts zeros beside the numbers: pad them beforehand, and import the layers "
    "after it",
    "UpSampling": "repeats numbers to make a larger picture",
    "Dot": "multiplies the results of different layers" + _PARTS,
    "ThresholdedReLU": "jumps at its threshold, and none of laminet's activations does",
}


def reason(kind: str) -> str:
    """Return why a layer or operation of that kind is refused."""
    for part, text in _REASONS.items():
        if part in kind:
            return f"is no layer of a network: it {text}"
    return "is no layer of a network that laminet knows" + _PARTS
