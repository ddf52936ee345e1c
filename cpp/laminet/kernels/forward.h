// The names of the tables, for headers that only point to them.
#pragma once

namespace laminet::kernels {

template <class T>
struct Table;
struct InstructionSet;

}  // namespace laminet::kernels
