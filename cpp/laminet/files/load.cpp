#include "laminet/files/load.h"

#include <limits>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "laminet/files/json.h"
#include "laminet/files/layer_reader.h"
#include "laminet/files/tensor_file.h"

namespace laminet {
namespace {

constexpr std::int64_t kNewest = 5;
constexpr const char* kWhere = "metadata 'laminet'";

// What a network is beside its arrays.
JsonValue description_of(const TensorFile& file) {
  const JsonValue* entry = file.metadata().find("laminet");
  require_format(entry, "no 'laminet' entry in the metadata: not a file that laminet saved");
  require_format(entry->text(), kWhere, ": must be a text");
  JsonValue description = parse_json(*entry->text(), kWhere);
  const JsonValue* format = description.find("format");
  require_format(format && format->integer() && *format->integer() >= 1, kWhere,
                 ": has no format number");
  require_format(*format->integer() <= kNewest, kWhere, ": format ", *format->integer(),
                 " is of a later laminet; this one reads up to ", kNewest);
  return description;
}

// As networks.py of the Python half describes each version.
void require_version(const JsonValue& description, std::int64_t format) {
  std::vector<std::string_view> all = {"format", "layers"};
  std::vector<std::string_view> possible;
  if (format >= 4) all.insert(all.end(), {"dtype", "in_features"});
  if (format == 2) possible = {"head", "task", "classes"};
  if (format >= 3) possible = {"head", "outputs", "feature_names", "inputs"};
  if (format == 5) possible.insert(possible.end(), {"missing", "precision"});
  require_members(description, kWhere, all, possible);
}

Head head_of(const JsonValue& description) {
  const JsonValue* word = description.find("head");
  if (!word) return Head::none;
  const Head head = (word->text() ? find_head(*word->text()) : std::nullopt).value_or(Head::none);
  require_format(head != Head::none, kWhere, ": unknown head");
  return head;
}

std::string dtype_of_tree(const JsonValue& description) {
  const std::string* dtype = description.find("dtype")->text();
  require_format(dtype && (*dtype == "float32" || *dtype == "float64"), kWhere,
                 ": dtype must be float32 or float64");
  return *dtype;
}

template <class T>
void require_own_type(const std::string& dtype) {
  constexpr bool kSingle = sizeof(T) == sizeof(float);
  require_format(dtype == (kSingle ? "float32" : "float64"), "the network is of ", dtype, ": load<",
                 kSingle ? "double" : "float", "> reads it");
}

bool has_narrow_weights(const JsonValue& description, const std::string& dtype) {
  const JsonValue* word = description.find("precision");
  if (!word || (word->text() && *word->text() == dtype)) return false;
  require_format(word->text() && *word->text() == "bfloat16_weights" && dtype == "float32", kWhere,
                 ": the precision is none of ", dtype);
  return true;
}

}  // namespace

template <class T>
std::unique_ptr<const Mlp<T>> network_of(const TensorFile& file) {
  const JsonValue description = description_of(file);
  const std::int64_t format = *description.find("format")->integer();
  require_version(description, format);
  const Head head = head_of(description);
  const JsonValue& layers = *description.find("layers");
  std::size_t features = 0;
  SeriesView<T> series;
  const bool tree = format >= 4;
  const std::string dtype = tree ? dtype_of_tree(description) : "";
  const bool narrow = tree && has_narrow_weights(description, dtype);
  if (tree) require_own_type<T>(dtype);
  // A chain is what its first tensor is, which may be narrower than float, too.
  const auto first = file.tensors().find("0.weight");
  const bool known = !tree && first != file.tensors().end();
  const std::string stored = known ? first->second.dtype : dtype_of<T>();
  if (!tree) require_own_type<T>(stored == "F64" ? "float64" : "float32");
  LayerReader<T> reader(file, stored, narrow);
  if (tree) {
    const std::int64_t* width = description.find("in_features")->integer();
    require_format(width && *width >= 1 && *width <= std::numeric_limits<std::int32_t>::max(),
                   kWhere, ": in_features must be a number of features");
    features = static_cast<std::size_t>(*width);
    std::size_t given = features;
    series = reader.series(layers, "layers", given);
  } else {
    series = reader.chain(layers);
  }
  reader.require_all_taken();
  try {
    const Precision precision = narrow ? Precision::bfloat16_weights : Precision::full;
    auto net = std::make_unique<const Mlp<T>>(std::span<const LayerView<T>>(series), head, features,
                                              precision);
    require_format(!tree || net->in_features() == features, kWhere, ": in_features is ", features,
                   ", and the layers take ", net->in_features());
    return net;
  } catch (const std::invalid_argument& error) {
    throw FormatError(error.what());
  }
}

template <class T>
std::unique_ptr<const Mlp<T>> load(const std::string& path) {
  return network_of<T>(TensorFile(path));
}

template std::unique_ptr<const Mlp<float>> network_of(const TensorFile&);
template std::unique_ptr<const Mlp<double>> network_of(const TensorFile&);
template std::unique_ptr<const Mlp<float>> load(const std::string&);
template std::unique_ptr<const Mlp<double>> load(const std::string&);

}  // namespace laminet
