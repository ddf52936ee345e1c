// Which instruction set runs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "laminet/kernels/forward.h"

namespace laminet::kernels {

// The set that new networks are packed for: the widest that this CPU has, or the one that
// LAMINET_ISA names. Throws std::invalid_argument where that is unknown or not available here.
const InstructionSet& active_instruction_set();

// Makes `name` the active set; networks that are already packed keep theirs.
void set_instruction_set(std::string_view name);

// The set that every CPU runs, possibly without fused multiply-add.
const InstructionSet& baseline_instruction_set();

// The set of that name. Throws std::invalid_argument where it is unknown or not available here.
const InstructionSet& instruction_set(std::string_view name);

// Narrowest first: the sets of this build that this CPU can run.
std::vector<std::string> available_instruction_sets();

}  // namespace laminet::kernels
