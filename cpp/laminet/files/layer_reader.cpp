#include "laminet/files/layer_reader.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "laminet/files/format_error.h"

namespace laminet {
namespace {

// The limits of the Python half. Brackets in a place: layers within layers.
constexpr std::ptrdiff_t kDeepest = 64;
// Nothing in a file confirms the widths of layers without arrays.
constexpr std::size_t kWidest = std::numeric_limits<std::int32_t>::max();
// Columns that slices select take memory.
constexpr std::size_t kMostColumns = std::size_t{1} << 22;

std::string short_place(const std::string& place) {
  constexpr std::size_t kMost = 80;
  return place.size() <= kMost ? place
                               : place.substr(0, 27) + "..." + place.substr(place.size() - 50);
}

// layers[0].weight is the tensor layers.0.weight.
std::string tensor_name(const std::string& place) {
  std::string name;
  for (const char c : place) {
    if (c != ']') name += c == '[' ? '.' : c;
  }
  return name;
}

const JsonValue& member(const JsonValue& value, std::string_view key) {
  return *value.find(key);  // require_members has found it
}

bool is_tensor(const JsonValue& value) { return value.text() && *value.text() == "tensor"; }

// A number of JSON, or nothing.
std::optional<double> finite(const JsonValue& value) {
  if (value.integer()) return static_cast<double>(*value.integer());
  const double* number = std::get_if<double>(&value.value);
  return number && std::isfinite(*number) ? std::optional(*number) : std::nullopt;
}

double number(const JsonValue& value, const std::string& place) {
  if (const std::string* word = value.text()) {
    if (*word == "inf") return std::numeric_limits<double>::infinity();
    if (*word == "-inf") return -std::numeric_limits<double>::infinity();
  }
  const std::optional<double> found = finite(value);
  require_format(found.has_value(), short_place(place), " is not a number");
  return *found;
}

// A position from the end where negative; `absent` where the file has null.
std::int64_t end_of_slice(const JsonValue& value, const std::string& place, std::int64_t absent) {
  if (value.null()) return absent;
  require_format(value.integer(), short_place(place), ": an end of the slice is no index");
  return *value.integer();
}

}  // namespace

void require_members(const JsonValue& value, const std::string& where,
                     const std::vector<std::string_view>& all,
                     const std::vector<std::string_view>& possible) {
  const JsonValue::Object* members = value.object();
  require_format(members, where, ": must be a JSON object");
  for (const std::string_view key : all) {
    require_format(value.find(key), where, ": has no ", key);
  }
  for (const JsonMember& one : *members) {
    const bool known = std::count(all.begin(), all.end(), one.key) > 0 ||
                       std::count(possible.begin(), possible.end(), one.key) > 0;
    require_format(known, where, ": has ", quoted(one.key), ", which has no place there");
  }
}

template <class T>
SeriesView<T> LayerReader<T>::series(const JsonValue& layers, const std::string& place,
                                     std::size_t& features, std::size_t least) {
  require_format(layers.array() && layers.array()->size() >= least, short_place(place),
                 " must be a list", least ? " of one or more" : "");
  SeriesView<T> result;
  for (std::size_t i = 0; i < layers.array()->size(); ++i) {
    const std::string inside = place + "[" + std::to_string(i) + "]";
    result.push_back(layer((*layers.array())[i], inside, features));
    require_format(features <= kWidest, short_place(inside), " gives ", features, " features; ",
                   kWidest, " are possible");
    // Of no effect but in training, and no step of a network that is only run.
    if (std::holds_alternative<DropoutView>(result.back().kind)) result.pop_back();
  }
  return result;
}

template <class T>
LayerView<T> LayerReader<T>::layer(const JsonValue& value, const std::string& place,
                                   std::size_t& features) {
  const std::string where = short_place(place);
  require_format(std::count(place.begin(), place.end(), '[') <= kDeepest, where,
                 ": layers within layers within layers, too deep");
  const JsonValue* word = value.find("kind");
  require_format(word && word->text(), where, ": names no kind of layer");
  const std::string& kind = *word->text();
  if (kind == "Dense") return {dense(value, place, features)};
  if (kind == "Rescale") return {rescale(value, place)};
  if (kind == "LayerNorm") return {norm(value, place, true)};
  if (kind == "RMSNorm") return {norm(value, place, false)};
  if (kind == "Activation") {
    ActivationView<T> view;
    view.activation = activation(value, place, "name", view.units, view.features);
    return {view};
  }
  if (kind == "Select") {
    require_members(value, where, {"kind", "columns"});
    SelectView view = select(member(value, "columns"), place + ".columns", features);
    features = view.columns.size();
    return {std::move(view)};
  }
  if (kind == "Parallel") return {parallel(value, place, features)};
  if (kind == "Residual") {
    require_members(value, where, {"kind", "layers"});
    std::size_t inside = features;
    return {ResidualView<T>{series(member(value, "layers"), place + ".layers", inside)}};
  }
  require_format(kind == "Dropout", where, ": unknown kind of layer ", quoted(kind));
  require_members(value, where, {"kind", "rate"});
  const double rate = number(member(value, "rate"), place + ".rate");
  require_format(rate >= 0 && rate < 1, where, ": rate must be at least 0 and less than 1");
  return {DropoutView{rate}};
}

template <class T>
DenseView<T> LayerReader<T>::dense(const JsonValue& value, const std::string& place,
                                   std::size_t& features) {
  require_members(value, short_place(place), {"kind", "weight", "bias", "activation"});
  require_format(is_tensor(member(value, "weight")), short_place(place), ".weight is not 'tensor'");
  const StoredTensor& weight = tensor(tensor_name(place + ".weight"), 2, true);
  const std::size_t rows = weight.shape[0];
  DenseView<T> view;
  view.weight = dense_view(keep(file_.read<T>(weight)), rows, weight.shape[1]);
  features = rows;
  if (!member(value, "bias").null())
    view.bias = row(member(value, "bias"), place + ".bias", features);
  view.activation =
      activation(member(value, "activation"), place + ".activation", "name", view.units, features);
  return view;
}

template <class T>
RescaleView<T> LayerReader<T>::rescale(const JsonValue& value, const std::string& place) {
  require_members(value, short_place(place), {"kind", "scale", "shift", "low", "high"});
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  RescaleView<T> view;
  const JsonValue& low = member(value, "low");
  const JsonValue& high = member(value, "high");
  view.scale = by_feature(member(value, "scale"), place + ".scale", view.features, false);
  view.shift = by_feature(member(value, "shift"), place + ".shift", view.features, false);
  view.clip = !low.null() || !high.null();
  view.low = {-kInfinity, nullptr};
  view.high = {kInfinity, nullptr};
  if (!low.null()) view.low = by_feature(low, place + ".low", view.features, true);
  if (!high.null()) view.high = by_feature(high, place + ".high", view.features, true);
  for (std::size_t i = 0; i < std::max<std::size_t>(view.features, 1); ++i) {
    const auto at = [i](const ByFeature<T>& one) { return one.values ? one.values[i] : one.value; };
    require_format(!std::isnan(at(view.scale)) && !std::isnan(at(view.shift)), short_place(place),
                   ": scale and shift must not be NaN");
    require_format(!view.clip || at(view.low) <= at(view.high), short_place(place),
                   ": low must be at most high");
  }
  return view;
}

template <class T>
NormView<T> LayerReader<T>::norm(const JsonValue& value, const std::string& place, bool center) {
  if (center) {
    require_members(value, short_place(place), {"kind", "weight", "bias", "eps"});
  } else {
    require_members(value, short_place(place), {"kind", "weight", "eps"});
  }
  NormView<T> view;
  view.center = center;
  view.eps = number(member(value, "eps"), place + ".eps");
  require_format(view.eps >= 0 && std::isfinite(view.eps), short_place(place),
                 ".eps must be finite and at least 0");
  const JsonValue& weight = member(value, "weight");
  if (!weight.null()) view.weight = row(weight, place + ".weight", view.features);
  const JsonValue* bias = value.find("bias");
  if (bias && !bias->null()) view.bias = row(*bias, place + ".bias", view.features);
  return view;
}

template <class T>
SelectView LayerReader<T>::select(const JsonValue& columns, const std::string& place,
                                  std::size_t features) {
  const auto count = static_cast<std::int64_t>(features);
  SelectView view;
  if (columns.array()) {
    for (const JsonValue& column : *columns.array()) {
      const std::int64_t* index = column.integer();
      require_format(index && *index >= -count && *index < count, short_place(place),
                     ": a column is none of ", features);
      view.columns.push_back(static_cast<std::size_t>(*index < 0 ? *index + count : *index));
    }
    require_format(!view.columns.empty(), short_place(place), " selects no columns");
    return view;
  }
  require_format(columns.object(), short_place(place), " is neither a list nor a slice");
  require_members(columns, short_place(place), {"start", "stop", "step"});
  const std::int64_t step = end_of_slice(member(columns, "step"), place, 1);
  require_format(step != 0, short_place(place), ": the step of the slice is 0");
  // As Python's slice.indices: what lies outside is cut off.
  const std::int64_t least = step > 0 ? 0 : -1;
  const std::int64_t most = step > 0 ? count : count - 1;
  const auto cut = [&](std::string_view key, std::int64_t absent) {
    const JsonValue& end = member(columns, key);
    if (end.null()) return absent;
    const std::int64_t at = end_of_slice(end, place, absent);
    return std::clamp(at < 0 ? at + count : at, least, most);
  };
  const std::int64_t stop = cut("stop", step > 0 ? count : -1);
  for (std::int64_t at = cut("start", step > 0 ? 0 : count - 1); step > 0 ? at < stop : at > stop;
       at += step) {
    require_format(++selected_ <= kMostColumns, short_place(place), ": slices select more than ",
                   kMostColumns, " columns");
    view.columns.push_back(static_cast<std::size_t>(at));
    if (std::abs(step) >= count) break;  // the next is outside, and may be no number
  }
  require_format(!view.columns.empty(), short_place(place), " selects no columns of ", features);
  return view;
}

template <class T>
ParallelView<T> LayerReader<T>::parallel(const JsonValue& value, const std::string& place,
                                         std::size_t& features) {
  require_members(value, short_place(place), {"kind", "branches", "join"});
  const JsonValue::Array* branches = member(value, "branches").array();
  require_format(branches && !branches->empty(), short_place(place),
                 ".branches must be a list of lists");
  const std::string* join = member(value, "join").text();
  require_format(join && (*join == "concat" || *join == "sum" || *join == "mean"),
                 short_place(place), ".join is none of concat, sum and mean");
  ParallelView<T> view;
  view.join = *join == "concat" ? Join::concat : *join == "sum" ? Join::sum : Join::mean;
  std::size_t together = 0;
  std::size_t first = 0;
  for (std::size_t b = 0; b < branches->size(); ++b) {
    std::size_t given = features;
    view.branches.push_back(series((*branches)[b], place + ".branches[" + std::to_string(b) + "]",
                                   given, std::size_t{0}));
    if (b == 0) first = given;
    together += given;
  }
  features = view.join == Join::concat ? together : first;
  return view;
}

template <class T>
Activation LayerReader<T>::activation(const JsonValue& value, const std::string& place,
                                      std::string_view name, UnitArrays<T>& units,
                                      std::size_t& features) {
  const std::string where = short_place(place);
  const JsonValue* word = value.find(name);
  require_format(word && word->text(), where, ": names no activation");
  const std::optional<ActivationKind> kind = find_activation(*word->text());
  require_format(kind.has_value(), where, ": unknown activation ", quoted(*word->text()));
  std::vector<std::string_view> keys = {name};
  if (info(*kind).has_alpha) keys.push_back("alpha");
  if (info(*kind).has_beta) keys.push_back("beta");
  require_members(value, where, keys, {name == "name" ? "kind" : name});
  Activation result = info(*kind).defaults;
  const auto read = [&](std::string_view key, double& one, const T*& each) {
    const JsonValue& given = member(value, key);
    if (!given.array()) {
      const std::optional<double> found = finite(given);
      require_format(found.has_value(), where, ": ", key, " is not a finite number");
      one = *found;
      return;
    }
    std::vector<T> numbers;
    for (const JsonValue& element : *given.array()) {
      const std::optional<double> found = finite(element);
      const T rounded = found ? static_cast<T>(*found) : std::numeric_limits<T>::infinity();
      require_format(std::isfinite(rounded), where, ": ", key, " has what is no finite number");
      numbers.push_back(rounded);
    }
    if (features == 0) features = numbers.size();
    require_format(!numbers.empty() && numbers.size() == features, where, ": ", key, " has ",
                   numbers.size(), " numbers for ", features, " features");
    each = keep(std::move(numbers));
  };
  if (info(*kind).has_alpha) read("alpha", result.alpha, units.alphas);
  if (info(*kind).has_beta) read("beta", result.beta, units.betas);
  return result;
}

template <class T>
SeriesView<T> LayerReader<T>::chain(const JsonValue& layers) {
  require_format(layers.array() && !layers.array()->empty(),
                 "layers must be a list of one or more");
  SeriesView<T> result;
  for (std::size_t i = 0; i < layers.array()->size(); ++i) {
    const std::string name = std::to_string(i);
    const JsonValue& value = (*layers.array())[i];
    const StoredTensor& weight = tensor(name + ".weight", 2, false);
    std::size_t rows = weight.shape[0];
    DenseView<T> view;
    view.weight = dense_view(keep(file_.read<T>(weight)), rows, weight.shape[1]);
    if (file_.tensors().contains(name + ".bias")) {
      const StoredTensor& bias = tensor(name + ".bias", 1, false);
      require_format(bias.shape[0] == rows, "tensor '", name, ".bias': has ", bias.shape[0],
                     " elements for ", rows, " outputs");
      view.bias = keep(file_.read<T>(bias));
    }
    view.activation = activation(value, "layer " + name, "activation", view.units, rows);
    require_format(!view.units.any(), "layer ", name, ": a parameter is a list, not a number");
    result.push_back({view});
  }
  return result;
}

template <class T>
const StoredTensor& LayerReader<T>::tensor(const std::string& name, std::size_t axes, bool weight) {
  const auto found = file_.tensors().find(name);
  require_format(found != file_.tensors().end(), "tensor ", quoted(name),
                 " is missing; the metadata names it");
  const StoredTensor& tensor = found->second;
  require_format(tensor.dtype == dtype_ || (weight && narrow_ && tensor.dtype == "BF16"), "tensor ",
                 quoted(name), ": is ", tensor.dtype, "; the network is ", dtype_);
  const auto extents = std::count(tensor.shape.begin(), tensor.shape.end(), 0);
  require_format(tensor.shape.size() == axes && extents == 0, "tensor ", quoted(name),
                 ": the shape is not ", axes == 1 ? "(features,)" : "(out_features, in_features)");
  taken_.insert(name);
  return tensor;
}

template <class T>
const T* LayerReader<T>::row(const JsonValue& value, const std::string& place,
                             std::size_t& features) {
  require_format(is_tensor(value), short_place(place), " is not 'tensor'");
  const StoredTensor& stored = tensor(tensor_name(place), 1, false);
  if (features == 0) features = stored.shape[0];
  require_format(stored.shape[0] == features, short_place(place), " must have ", features,
                 " elements, got ", stored.shape[0]);
  return keep(file_.read<T>(stored));
}

template <class T>
ByFeature<T> LayerReader<T>::by_feature(const JsonValue& value, const std::string& place,
                                        std::size_t& features, bool bound) {
  if (is_tensor(value)) return {T{0}, row(value, place, features)};
  const double wide = number(value, place);
  const bool beyond = std::abs(wide) > std::numeric_limits<T>::max();
  require_format(!beyond || bound || std::isinf(wide), short_place(place),
                 " is too large for the network");
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  return {
      beyond ? std::copysign(kInfinity, static_cast<T>(wide > 0 ? 1 : -1)) : static_cast<T>(wide),
      nullptr};
}

template <class T>
const T* LayerReader<T>::keep(std::vector<T> numbers) {
  kept_.push_back(std::move(numbers));
  return kept_.back().data();
}

template <class T>
void LayerReader<T>::require_all_taken() const {
  for (const auto& [name, stored] : file_.tensors()) {
    require_format(taken_.contains(name), "tensor ", quoted(name),
                   " belongs to none of the layers");
  }
}

template class LayerReader<float>;
template class LayerReader<double>;

}  // namespace laminet
