// A safetensors file: 8 bytes, the length of the header; the header, JSON; the bytes of the
// tensors.
#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include "laminet/files/json.h"

namespace laminet {

// Of up to two axes, of type F32, F64, F16 or BF16.
struct StoredTensor {
  std::string dtype;
  std::vector<std::size_t> shape;
  std::size_t begin = 0;  // of its bytes within those of the file

  std::size_t elements() const;
};

class TensorFile {
 public:
  // Reads all of the file. Each number of the header is checked against its size before anything is
  // made of it. Throws FormatError, or std::system_error where the file cannot be read.
  explicit TensorFile(const std::string& path);
  // Of bytes that are in memory.
  explicit TensorFile(std::vector<char> bytes);

  const std::unordered_map<std::string, StoredTensor>& tensors() const { return tensors_; }
  // What the header says besides; null where it says nothing.
  const JsonValue& metadata() const { return metadata_; }

  // The numbers, as float or as double; what is narrower than float is widened, which is exact.
  template <class T>
  std::vector<T> read(const StoredTensor& tensor) const;

 private:
  void check_and_add(const JsonMember& member, std::size_t data);

  std::vector<char> bytes_;
  std::unordered_map<std::string, StoredTensor> tensors_;
  JsonValue metadata_;
};

// A text of a file for a message: short, without what a terminal would obey.
std::string quoted(const std::string& text);

}  // namespace laminet
