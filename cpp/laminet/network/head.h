// What may follow the last layer: softmax or log-softmax of each row.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

#include "laminet/base/matrix.h"
#include "laminet/kernels/table.h"

namespace laminet {

enum class Head { none, softmax, log_softmax };

// In the order of Head.
inline constexpr std::array<std::string_view, 3> kHeads = {"none", "softmax", "log_softmax"};

// The head with that name, or nothing.
constexpr std::optional<Head> find_head(std::string_view name) {
  for (std::size_t i = 0; i < kHeads.size(); ++i) {
    if (kHeads[i] == name) return static_cast<Head>(i);
  }
  return std::nullopt;
}

// Each of the rows, which are contiguous, replaced by its softmax or log-softmax, or left alone.
template <class T>
void apply_head(Head head, const kernels::Table<T>& table, MatrixView<T> rows) {
  if (head == Head::none) return;
  const auto function = head == Head::softmax ? table.softmax : table.log_softmax;
  for (std::size_t i = 0; i < rows.rows; ++i) function(rows.row(i), rows.columns);
}

}  // namespace laminet
