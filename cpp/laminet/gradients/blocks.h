// What the derivatives share: checks, and blocks of samples on the team.
#pragma once

#include <algorithm>
#include <cstddef>

#include "laminet/base/check.h"
#include "laminet/base/interruption.h"
#include "laminet/base/matrix.h"
#include "laminet/base/parallel.h"
#include "laminet/gradients/split.h"

namespace laminet {

template <class T>
void check_rows(const char* name, ConstMatrixView<T> view, std::size_t rows, std::size_t columns) {
  require(view.rows == rows && view.columns == columns, name, " has shape (", view.rows, ", ",
          view.columns, "), expected (", rows, ", ", columns, ")");
}

// task(i) for i below count, on the team if there is more than one thread to use.
template <class F>
void for_tasks(std::size_t threads, std::size_t count, F&& task) {
  if (threads > 1) {
    parallel_for(count, task);
  } else {
    for (std::size_t i = 0; i < count; ++i) {
      interruption_point();
      task(i);
    }
  }
}

// block(first sample, samples) for each block.
template <class F>
void for_blocks(const ChainSplit& split, std::size_t batch, F&& block) {
  const std::size_t blocks = (batch + split.block_samples - 1) / split.block_samples;
  for_tasks(split.threads, blocks, [&](std::size_t i) {
    const std::size_t first = i * split.block_samples;
    block(first, std::min(split.block_samples, batch - first));
  });
}

}  // namespace laminet
