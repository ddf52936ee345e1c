// How exactly a network of float computes its products.
#pragma once

namespace laminet {

//   full              as its numbers are
//   bfloat16_weights  weights of dense layers rounded to bfloat16, everything else as in `full`:
//                     the results are those of a network with these weights, to the last bit, and
//                     half of the bytes are read
//   bfloat16          and what they are multiplied by, too: the products are those of tile.h, in
//                     float, as are biases and functions. Of weights, what is subnormal is zero.
//                     Derivatives take the rounding for the identity and are computed in float
enum class Precision { full, bfloat16_weights, bfloat16 };

}  // namespace laminet
