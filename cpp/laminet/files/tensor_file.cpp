#include "laminet/files/tensor_file.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <tuple>
#include <utility>

#include "laminet/base/bfloat16.h"
#include "laminet/files/format_error.h"

namespace laminet {
namespace {

constexpr std::size_t kPrefix = 8;
// As the Python half has it: room for some 80,000 layers.
constexpr std::size_t kMostHeader = std::size_t{16} << 20;

// Bytes of a number; 0 of a type that no network has.
std::size_t item_size(const std::string& dtype) {
  if (dtype == "F64") return 8;
  if (dtype == "F32") return 4;
  return dtype == "F16" || dtype == "BF16" ? 2 : 0;
}

std::vector<char> contents(const std::string& path) {
  std::error_code error;
  // Before it is opened: opening a named pipe would wait for a writer.
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) {
    const auto missing = std::make_error_code(std::errc::no_such_file_or_directory);
    throw std::system_error(error ? error : missing, path);
  }
  require_format(std::filesystem::is_regular_file(status), path, ": not a regular file");
  std::ifstream file(path, std::ios::binary);
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (!file || error) throw std::system_error(errno, std::generic_category(), path);
  std::vector<char> bytes(size);
  file.read(bytes.data(), static_cast<std::streamsize>(size));
  require_format(file.gcount() == static_cast<std::streamsize>(size), path,
                 ": has become shorter while it was read");
  return bytes;
}

float from_half(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 0x1F;
  const int mantissa = bits & 0x3FF;
  const std::uint32_t sign = std::uint32_t{bits & 0x8000u} << 16;
  if (exponent == 0x1F) {
    const std::uint32_t kept = std::uint32_t(mantissa) << 13;
    return std::bit_cast<float>(sign | 0x7F80'0000u | kept);
  }
  // Exact: subnormal numbers of 16 bits are normal ones of 32.
  const float size = exponent == 0
                         ? std::ldexp(static_cast<float>(mantissa), -24)
                         : std::ldexp(static_cast<float>(mantissa + 0x400), exponent - 25);
  return sign ? -size : size;
}

template <class Stored, class T, class Convert>
void convert(const char* from, std::vector<T>& to, const Convert& converted) {
  for (T& number : to) {
    Stored stored;
    std::memcpy(&stored, from, sizeof stored);
    number = static_cast<T>(converted(stored));
    from += sizeof stored;
  }
}

}  // namespace

std::size_t StoredTensor::elements() const {
  std::size_t product = 1;
  for (const std::size_t extent : shape) product *= extent;
  return product;
}

TensorFile::TensorFile(const std::string& path) : TensorFile(contents(path)) {}

TensorFile::TensorFile(std::vector<char> bytes) : bytes_(std::move(bytes)) {
  static_assert(std::endian::native == std::endian::little);
  require_format(bytes_.size() >= kPrefix, "the file has ", bytes_.size(),
                 " bytes; a safetensors file begins with 8");
  std::uint64_t length = 0;
  std::memcpy(&length, bytes_.data(), sizeof length);
  require_format(length <= bytes_.size() - kPrefix, "bytes 0 to 7 say that the header has ", length,
                 " bytes, and ", bytes_.size() - kPrefix,
                 " follow: truncated, or not a safetensors file");
  require_format(length <= kMostHeader, "the header has ", length, " bytes; at most ", kMostHeader,
                 " are accepted");
  const std::string_view text(bytes_.data() + kPrefix, length);
  require_format(is_utf8(text), "header: not UTF-8");
  JsonValue header = parse_json(text, "header");
  require_format(header.object(), "header: must be a JSON object");
  const std::size_t data = kPrefix + length;
  for (JsonMember& member : std::get<JsonValue::Object>(header.value)) {
    if (member.key == "__metadata__") {
      metadata_ = std::move(member.value);
    } else {
      check_and_add(member, data);
    }
  }
  std::vector<std::tuple<std::size_t, std::size_t, std::string>> spans;
  spans.reserve(tensors_.size());
  for (const auto& [name, tensor] : tensors_) {
    spans.emplace_back(tensor.begin, tensor.begin + tensor.elements() * item_size(tensor.dtype),
                       name);
  }
  std::sort(spans.begin(), spans.end());
  std::size_t next = data;
  for (const auto& [begin, end, name] : spans) {
    require_format(begin == next, "tensor ", quoted(name), ": begins at byte ", begin - data,
                   " of the data, where what is before it ends at ", next - data);
    next = end;
  }
  require_format(next == bytes_.size(), "the tensors end at byte ", next - data,
                 " of the data, and the file has ", bytes_.size() - data);
}

void TensorFile::check_and_add(const JsonMember& member, std::size_t data) {
  const std::string where = "tensor " + quoted(member.key);
  const JsonValue* dtype = member.value.find("dtype");
  const JsonValue* shape = member.value.find("shape");
  const JsonValue* offsets = member.value.find("data_offsets");
  require_format(dtype && shape && offsets && member.value.object()->size() == 3, where,
                 ": must have dtype, shape and data_offsets, and nothing else");
  StoredTensor tensor;
  const std::size_t item = dtype->text() ? item_size(*dtype->text()) : 0;
  if (item == 0) throw FormatError(where + ": dtype must be F32, F64, F16 or BF16");
  tensor.dtype = *dtype->text();
  require_format(shape->array() && shape->array()->size() <= 2, where,
                 ": shape must be a list of 1 or 2 sizes");
  for (const JsonValue& extent : *shape->array()) {
    const std::int64_t* size = extent.integer();
    require_format(size && *size >= 0, where, ": shape must be a list of 1 or 2 sizes");
    tensor.shape.push_back(static_cast<std::size_t>(*size));
  }
  require_format(offsets->array() && offsets->array()->size() == 2, where,
                 ": data_offsets must be a pair of positions");
  const auto position = [&](std::size_t i) {
    const std::int64_t* at = (*offsets->array())[i].integer();
    if (!at || *at < 0) throw FormatError(where + ": data_offsets must be a pair of positions");
    return static_cast<std::size_t>(*at);
  };
  const std::size_t begin = position(0);
  const std::size_t end = position(1);
  require_format(begin <= end && end <= bytes_.size() - data, where, ": data_offsets ", begin,
                 " and ", end, " leave the ", bytes_.size() - data,
                 " bytes of data in the file: truncated?");
  // No product of sizes that the bytes do not confirm.
  std::size_t left = (end - begin) / item;
  const bool none = std::count(tensor.shape.begin(), tensor.shape.end(), 0) > 0;
  bool fits = (end - begin) % item == 0 && (left > 0 || none);
  for (const std::size_t extent : tensor.shape) {
    if (none || !fits) break;
    fits = left % extent == 0;
    left /= extent;
  }
  require_format(fits && (none ? begin == end : left == 1), where,
                 ": the shape and the bytes between data_offsets do not agree");
  tensor.begin = data + begin;
  tensors_.emplace(member.key, std::move(tensor));
}

template <class T>
std::vector<T> TensorFile::read(const StoredTensor& tensor) const {
  std::vector<T> numbers(tensor.elements());
  const char* from = bytes_.data() + tensor.begin;
  const auto same = [](auto number) { return number; };
  if (tensor.dtype == "F64") {
    convert<double>(from, numbers, same);
  } else if (tensor.dtype == "F32") {
    convert<float>(from, numbers, same);
  } else if (tensor.dtype == "BF16") {
    convert<bfloat16>(from, numbers, [](bfloat16 number) { return widened(number); });
  } else {
    convert<std::uint16_t>(from, numbers, from_half);
  }
  return numbers;
}

std::string quoted(const std::string& text) {
  constexpr std::size_t kMost = 57;
  std::string result = "'";
  for (const char c : text.substr(0, kMost)) result += c >= 0x20 && c < 0x7F ? c : '?';
  return result + (text.size() > kMost ? "...'" : "'");
}

template std::vector<float> TensorFile::read(const StoredTensor&) const;
template std::vector<double> TensorFile::read(const StoredTensor&) const;

}  // namespace laminet
