#include "laminet/network/current_plan.h"

#include "laminet/base/cpu_info.h"
#include "laminet/base/thread_count.h"
#include "laminet/base/types.h"
#include "laminet/gemm/backend.h"
#include "laminet/gemm/blas_library.h"
#include "laminet/kernels/dispatch.h"

namespace laminet {

template <class T>
Plan current_plan(const Program& program, std::size_t batch, const kernels::InstructionSet& set,
                  Precision precision, double (*handoff)()) {
  const Backend requested = backend();
  const bool fused = &set != &kernels::baseline_instruction_set();
  const Stored stored = precision == Precision::full ? Stored::as_given : Stored::bfloat16;
  const PlanInput input{
      .weights = program.weights(),
      .largest_weight = program.largest_weight(),
      .width = program.widest_step(),
      .batch = batch,
      .element_size = sizeof(T),
      .weight_size = size_of<T>(stored),
      .mr = set.table<T>().tiles[0].mr,
      .threads = num_threads(program.flops() * static_cast<double>(batch)),
      .handoff = handoff,
      .requested = requested,
      // Asked only where the answer matters: it loads the library.
      .blas_available = requested == Backend::automatic && !fused && blas::library(),
      .fused = fused};
  return make_plan(input, cache_sizes());
}

#define LAMINET_INSTANTIATE(T)                                                               \
  template Plan current_plan<T>(const Program&, std::size_t, const kernels::InstructionSet&, \
                                Precision, double (*)());
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet
