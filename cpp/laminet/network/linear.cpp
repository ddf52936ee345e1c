#include "laminet/network/linear.h"

#include <bit>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "laminet/base/check.h"
#include "laminet/base/per_thread.h"
#include "laminet/base/types.h"
#include "laminet/gemm/blas.h"
#include "laminet/kernels/dispatch.h"
#include "laminet/network/current_plan.h"
#include "laminet/network/execute.h"
#include "laminet/network/operands.h"
#include "laminet/network/weights.h"

namespace laminet {
namespace {

struct LinearPurpose;

// That of the calling thread's last linear(): structure alone, nothing of the caller's.
std::unique_ptr<const Program>& last_linear() {
  return thread_object<std::unique_ptr<const Program>, LinearPurpose>();
}

// To the last bit, as -0.0 gives other zeros than 0.0.
bool same(const Activation& a, const Activation& b) {
  const auto bits = [](double x) { return std::bit_cast<std::uint64_t>(x); };
  return a.kind == b.kind && bits(a.alpha) == bits(b.alpha) && bits(a.beta) == bits(b.beta);
}

// Of one dense layer. It is the caller's while it runs, which may be interrupted by Python code
// that calls linear() itself.
std::unique_ptr<const Program> linear_program(std::size_t in, std::size_t out,
                                              const Activation& activation) {
  std::unique_ptr<const Program> last = std::move(last_linear());
  if (last) {
    const DenseStep& step = *last->dense(0);
    if (step.in_features == in && step.out_features == out && same(step.activation, activation)) {
      return last;
    }
  }
  const ParameterBlock weight{0, out, in};
  return std::make_unique<const Program>(
      std::vector<std::size_t>{in, out},
      std::vector<Step>{{DenseStep{in, out, 1, activation, {}, weight, {}},
                         {{Program::kInput, 0, in}},
                         {1, 0, out}}},
      1);
}

}  // namespace

template <class T>
void linear(ConstMatrixView<T> x, const DenseView<T>& layer, MatrixView<T> y) {
  const ConstMatrixView<T> w = layer.weight;
  require(w.rows > 0 && w.columns > 0,
          "weight must have at least one row and one column, got shape (", w.rows, ", ", w.columns,
          ")");
  require(x.columns == w.columns, "x has ", x.columns, " features, the weight takes ", w.columns);
  require(y.rows == x.rows && y.columns == w.rows, "out has shape (", y.rows, ", ", y.columns,
          "), expected (", x.rows, ", ", w.rows, ")");
  check_activation<T>(layer.activation);
  const kernels::InstructionSet& set = kernels::active_instruction_set();
  std::unique_ptr<const Program> own = linear_program(w.columns, w.rows, layer.activation);
  const Program& program = *own;
  const Plan plan = current_plan<T>(program, x.rows, set);
  DenseOperands<T> step{layer.bias, {}, {}, w};
  const bool tiled = plan.backend == Backend::tiled;
  const auto run = [&] {
    const Operands<T> operands{nullptr, {&step, 1}, &set.table<T>(), tiled, false};
    run_forward<T>(program, operands, plan, x, y);
  };
  if (tiled) {
    const PackedWeights<T> packed(w, set.table<T>());
    step.packed = {&packed, 1};
    run();
  } else if (blas::fits(w)) {
    run();
  } else {
    AlignedArray<T> rows(checked_product(w.rows, w.columns));
    const MatrixView<T> copied = dense_view(rows.data(), w.rows, w.columns);
    copy_weight<T>(w, copied);
    require_blas_fits<T>(copied);
    step.weight = copied;
    run();
  }
  last_linear() = std::move(own);
}

#define LAMINET_INSTANTIATE(T) \
  template void linear(ConstMatrixView<T>, const DenseView<T>&, MatrixView<T>);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet
