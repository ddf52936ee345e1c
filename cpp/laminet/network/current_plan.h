// The plan of a program as the process stands: the back end asked for, threads, caches.
#pragma once

#include <cstddef>

#include "laminet/base/parallel.h"
#include "laminet/kernels/instruction_sets.h"
#include "laminet/network/plan.h"
#include "laminet/network/precision.h"
#include "laminet/network/program.h"

namespace laminet {

template <class T>
Plan current_plan(const Program& program, std::size_t batch, const kernels::InstructionSet& set,
                  Precision precision = Precision::full, double (*handoff)() = team_handoff);

}  // namespace laminet
