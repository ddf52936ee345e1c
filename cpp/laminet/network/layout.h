// Where buffers lie, by when they are needed: pure functions of a program's steps.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "laminet/network/program.h"

namespace laminet {

// Which buffers share memory, each with the number of one of them: a step's result takes the
// place of an input, of all its columns, that no later step reads. With `keep_inputs` not of one
// that a product reads, since its weights' gradient needs it.
std::vector<std::size_t> shared_buffers(std::span<const std::size_t> buffers,
                                        std::span<const Step> steps, std::size_t output,
                                        bool keep_inputs);

// Matrices of so many columns, one after the other, each with memory of its own.
Layout separate_layout(std::span<const std::size_t> columns);

enum class Direction { forward, backward };

// Buffers in memory that is used again and again. Forward, a buffer is needed from the step that
// writes it to the last that reads it, and the input and the output are the caller's; backward from
// the last that reads it to the first that writes it, and the input is the caller's.
Layout reusing_layout(std::span<const std::size_t> buffers, std::span<const Step> steps,
                      std::size_t output, std::span<const std::size_t> shared, Direction direction);

// Buffers with memory of their own; the input and the output are the caller's.
Layout keeping_layout(std::span<const std::size_t> buffers, std::size_t output,
                      std::span<const std::size_t> shared);

// How gradients are added up on the way back.
std::vector<Backward> backward_of(std::span<const std::size_t> buffers, std::span<const Step> steps,
                                  std::size_t output);

}  // namespace laminet
