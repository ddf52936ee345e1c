// The instruction sets in this build. To add one: cpp/README.md.
#pragma once

#include "laminet/kernels/table.h"

namespace laminet::kernels {

extern const InstructionSet kGeneric;
#if defined(__x86_64__)
extern const InstructionSet kAvx2;
extern const InstructionSet kAvx512;
extern const InstructionSet kAvx512Bf16;
#endif

}  // namespace laminet::kernels
