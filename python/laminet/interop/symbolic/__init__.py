"""What every importer brings a model to: one symbolic value, and one algebra of folding.

`forms` is the graph: features as functions of the network's input, each an affine map of one step
(an activation, a normalisation, a sum, a join). What is constant is folded as the graph grows, by
`exact`. `value` is what stands for a tensor while a model is read: a form, and the `functions` of
each feature of it until `recognition` says which activation they are; `statistics` tells the
normalisations that are spelled out. At the end `layout` makes of the graph the tree of `layers`
that is a network: layers in series, side by side, and summed; `network` builds it.
"""
