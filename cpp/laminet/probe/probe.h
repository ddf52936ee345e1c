// What the machine can do at best: the roofs that a network's speed is held against.
//
// Each figure is the best of short runs that fill about `seconds`: whatever else the machine does
// makes a run slower, never faster. With more than one thread all of them work at the same time,
// and the figure is their sum. The threads are those of base/parallel, as many as num_threads()
// allows; std::runtime_error where another caller keeps them busy.
//
// What another program takes is told from what the hardware is by the CPU time of the threads.
#pragma once

#include <cstddef>

#include "laminet/kernels/activation.h"
#include "laminet/kernels/forward.h"

namespace laminet::probe {

struct Measurement {
  double value;
  // The part of the time in which every thread had a CPU (of handoff_time: the caller), in the run
  // where this was most: near 1 if one run at least was no neighbour's. 1 where the system does
  // not tell.
  double cpu_share;
};

// Floating-point operations a second of independent fused multiply-adds, two operations an
// element; of products and sums where the set has no such instruction.
template <class T>
Measurement fma_rate(const kernels::InstructionSet& set, std::size_t threads, double seconds);

// The same of products of bfloat16 that are summed in float: by the instruction for pairs of them,
// or by multiply-adds of float.
Measurement bfloat16_rate(const kernels::InstructionSet& set, std::size_t threads, double seconds);

// Seconds from one multiply-add to the next that needs its result.
template <class T>
Measurement fma_latency(const kernels::InstructionSet& set, double seconds);

// Seconds that an activation takes for one of many elements, in L1.
template <class T>
Measurement activation_time(const kernels::InstructionSet& set, ActivationKind kind,
                            double seconds);

// Bytes a second that are read, one after the other and again from the start, from `bytes` of
// memory for each thread; `bytes` is rounded up to 1024, and what is more than 1 MiB to that.
Measurement read_rate(const kernels::InstructionSet& set, std::size_t bytes, std::size_t threads,
                      double seconds);

// Seconds that a call takes to hand a task to each of `threads` threads, have them all begin, and
// see them all done; the threads are awake, as they are in a loop of calls.
Measurement handoff_time(std::size_t threads, double seconds);

}  // namespace laminet::probe
