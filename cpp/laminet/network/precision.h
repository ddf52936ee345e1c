// How exactly a network of float computes its products.
#pragma once

namespace laminet {

//   full              as its numbers are
//   bfloat16_weights  weights of dense layers rounded to bfloat16, everything else as in `full`:
//   the
//                     results are those of a network with these weights, to the last bit, and half
//                     of the bytes are read
enum class Precision { full, bfloat16_weights };

}  // namespace laminet
