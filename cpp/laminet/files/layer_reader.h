// From the words and tensors of a file to layers.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "laminet/files/json.h"
#include "laminet/files/tensor_file.h"
#include "laminet/network/layers.h"

namespace laminet {

// Makes views of layers; owns the numbers that they show.
template <class T>
class LayerReader {
 public:
  // Tensors are of type `dtype`; with `narrow` weights may be numbers of bfloat16.
  LayerReader(const TensorFile& file, std::string dtype, bool narrow)
      : file_(file), dtype_(std::move(dtype)), narrow_(narrow) {}

  // Layers of format 4 and later, which take so many features, and how many they give.
  SeriesView<T> series(const JsonValue& layers, const std::string& place, std::size_t& features,
                       std::size_t least = 1);
  // A chain of dense layers, of formats 1 to 3.
  SeriesView<T> chain(const JsonValue& layers);

  // Throws FormatError where a tensor of the file is of no layer.
  void require_all_taken() const;

 private:
  LayerView<T> layer(const JsonValue& value, const std::string& place, std::size_t& features);
  DenseView<T> dense(const JsonValue& value, const std::string& place, std::size_t& features);
  RescaleView<T> rescale(const JsonValue& value, const std::string& place);
  NormView<T> norm(const JsonValue& value, const std::string& place, bool center);
  SelectView select(const JsonValue& columns, const std::string& place, std::size_t features);
  ParallelView<T> parallel(const JsonValue& value, const std::string& place, std::size_t& features);
  // `name` is the key of the function's name; `features` are those of its parameters by unit.
  Activation activation(const JsonValue& value, const std::string& place, std::string_view name,
                        UnitArrays<T>& units, std::size_t& features);

  const StoredTensor& tensor(const std::string& name, std::size_t axes, bool weight);
  const T* row(const JsonValue& value, const std::string& place, std::size_t& features);
  // `bound`: one that is beyond T is infinity.
  ByFeature<T> by_feature(const JsonValue& value, const std::string& place, std::size_t& features,
                          bool bound);
  const T* keep(std::vector<T> numbers);

  const TensorFile& file_;
  std::string dtype_;
  bool narrow_;
  std::deque<std::vector<T>> kept_;
  std::unordered_set<std::string> taken_;
  std::size_t selected_ = 0;
};

// What tensors of T are called.
template <class T>
constexpr const char* dtype_of() {
  return sizeof(T) == sizeof(float) ? "F32" : "F64";
}

// Throws FormatError unless this is an object of these members, and of these if it has others.
void require_members(const JsonValue& value, const std::string& where,
                     const std::vector<std::string_view>& all,
                     const std::vector<std::string_view>& possible = {});

}  // namespace laminet
