#include "laminet/network/prepared.h"

#include <algorithm>

#include "laminet/base/types.h"

namespace laminet {
namespace {

ParameterBlock rows_of(const ParameterBlock& block, std::size_t first, std::size_t count) {
  return {block.start + first * block.columns, count, block.columns};
}

ParameterBlock columns_of(const ParameterBlock& row, std::size_t first, std::size_t count) {
  return row.rows == 0 ? row : ParameterBlock{row.start + first, 1, count};
}

bool is_transposed(Packing packing) {
  return packing == Packing::transposed || packing == Packing::transposed_rounded;
}

template <class T>
ConstMatrixView<T> oriented(ConstMatrixView<T> w, Packing packing) {
  if (!is_transposed(packing)) return w;
  return {w.data, w.columns, w.rows, w.column_stride, w.row_stride};
}

// What the panels of a group take, from one that starts on a cache line to the next that does, in
// elements of T.
template <class T>
std::size_t panel_elements(const DenseStep& dense, const kernels::Table<T>& table,
                           Packing packing) {
  const bool forward = !is_transposed(packing);
  const Stored stored = stored_as(packing, table);
  const std::size_t size =
      packed_size(forward ? dense.out_features : dense.in_features,
                  forward ? dense.in_features : dense.out_features, table, stored);
  return round_up(size * size_of<T>(stored), AlignedArray<T>::kAlignment) / sizeof(T);
}

template <class T>
std::size_t elements_of(const Program& program, const kernels::Table<T>& table, Packing packing) {
  std::size_t elements = 0;
  for (std::size_t s = 0; s < program.steps().size(); ++s) {
    if (const DenseStep* dense = program.dense(s)) {
      elements += dense->groups * panel_elements(*dense, table, packing);
    }
  }
  return elements;
}

}  // namespace

template <class T>
Stored stored_as(Packing packing, const kernels::Table<T>& table) {
  const bool rounded =
      packing == Packing::forward_rounded || packing == Packing::transposed_rounded;
  if (rounded && table.tiles[0].pairs) return Stored::bfloat16_pairs;
  return rounded || packing == Packing::forward_bfloat16 ? Stored::bfloat16 : Stored::as_given;
}

template <class T>
std::size_t Prepared<T>::bytes_of(const Program& program, const kernels::Table<T>& table,
                                  Packing packing) {
  return page_bytes(elements_of(program, table, packing) * sizeof(T));
}

template <class T>
Prepared<T>::Prepared(const Program& program, const Parameters<T>& parameters,
                      const kernels::Table<T>& table, Packing packing)
    : packing_(packing),
      memory_(elements_of(program, table, packing)),
      version_(parameters.version()) {
  T* free = memory_.data();
  for (std::size_t s = 0; s < program.steps().size(); ++s) {
    first_.push_back(parts_.size());
    const DenseStep* dense = program.dense(s);
    for (std::size_t g = 0; dense && g < dense->groups; ++g) {
      const std::size_t n = dense->out_features;
      // What is added on the way forward is not on the way back.
      const ParameterBlock bias = is_transposed(packing) ? ParameterBlock{} : dense->bias;
      parts_.push_back({rows_of(dense->weight, g * n, n), columns_of(bias, g * n, n)});
      const Part& part = parts_.back();
      const ConstMatrixView<T> weight = oriented(parameters[part.weight], packing);
      const T* const row = parameters[part.bias].data;
      switch (stored_as(packing, table)) {
        case Stored::as_given:
          weights_.emplace_back(weight, table, free, row);
          break;
        case Stored::bfloat16:
          weights_.emplace_back(weight, table, reinterpret_cast<bfloat16*>(free), row);
          break;
        case Stored::bfloat16_pairs:
          weights_.emplace_back(weight, table, reinterpret_cast<bfloat16_pair*>(free), row);
          break;
      }
      free += panel_elements(*dense, table, packing);
    }
  }
  first_.push_back(parts_.size());
}

template <class T>
void Prepared<T>::refresh(const Parameters<T>& parameters) {
  if (parameters.version() == version_) return;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    weights_[i].repack(oriented(parameters[parts_[i].weight], packing_),
                       parameters[parts_[i].bias].data);
  }
  version_ = parameters.version();
}

template <class T>
bool Prepared<T>::finite() const {
  return std::all_of(weights_.begin(), weights_.end(),
                     [](const PackedWeights<T>& weights) { return weights.finite(); });
}

#define LAMINET_INSTANTIATE(T)                                  \
  template Stored stored_as(Packing, const kernels::Table<T>&); \
  template class Prepared<T>;
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet
