// What steps do and move, by the textbook: counts of the formulas, whatever the kernels make of
// them.
#pragma once

#include <cstddef>

namespace laminet {

// Of a sample, or of a row of a derivative: FLOPs and elements. Of the arrays below once, however
// many samples there are.
struct StepCost {
  std::size_t products = 0;   // of matrices: each product of elements and its addition are two
  std::size_t biases = 0;     // additions of biases, and of their gradients
  std::size_t functions = 0;  // activations, slopes and products with them: one an element
  std::size_t others = 0;
  std::size_t read = 0;
  std::size_t written = 0;

  std::size_t weights_read = 0;  // parameters and constants, but for biases
  std::size_t biases_read = 0;
  std::size_t gradients_written = 0;
};

struct StepCosts {
  StepCost forward = {};
  StepCost record = {};        // what derivatives have of a sample besides, and read once
  StepCost pull_back = {};     // of a row
  StepCost push_forward = {};  // of a row
  StepCost gradients = {};     // those of parameters
  StepCost first_factor = {};  // of a sample, where a Jacobian begins with the scaled weights
};

}  // namespace laminet
