// Networks from files that the Python half wrote: net.save(path), in all formats so far (1 to 5).
//
//   const std::unique_ptr<const laminet::Mlp<float>> net = laminet::load<float>("net.safetensors");
//
// The network has the numbers of the file and gives the bits that it gives in Python. What outputs,
// features and inputs are called, and what stands for missing values, is left in the file.
#pragma once

#include <memory>
#include <string>

#include "laminet/files/format_error.h"
#include "laminet/network/mlp.h"

namespace laminet {

// Throws FormatError where the file is damaged, of another kind, of a later laminet, or of a
// network of another T; std::system_error where it cannot be read.
template <class T>
std::unique_ptr<const Mlp<T>> load(const std::string& path);

class TensorFile;

// The same of a file that has been read.
template <class T>
std::unique_ptr<const Mlp<T>> network_of(const TensorFile& file);

}  // namespace laminet
