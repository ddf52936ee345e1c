#include "laminet/network/steps/dense_parts.h"

#include <algorithm>
#include <span>

#include "laminet/base/types.h"
#include "laminet/gemm/gather.h"
#include "laminet/gemm/gemm.h"
#include "laminet/network/plan.h"
#include "laminet/network/steps/dense_slopes.h"
#include "laminet/network/steps/rows.h"
#include "laminet/network/steps/units.h"

namespace laminet::steps {
namespace {

// What a part has of products over so many rows: run(rows, group, panels, the columns that these
// give of the group's), once for each group.
template <class T, class Run>
void for_share(const PanelLayout<T>& layout, std::size_t groups, std::size_t columns,
               std::size_t rows, const StepPart& part, Run run) {
  const Grid grid = choose_grid(layout, groups, rows, part.parts);
  if (part.part >= grid.row_parts * grid.column_parts) return;
  const RowRange own = share_of_rows(rows, grid.row_parts, part.part / grid.column_parts);
  const std::size_t column_part = part.part % grid.column_parts;
  if (groups == 1) {
    const PanelRange panels = layout.share(grid.column_parts, column_part);
    const std::size_t first = panels.first * layout.body->nr;
    const std::size_t end = std::min(panels.last * layout.body->nr, columns);
    if (end > first) run(own, 0, panels, RowRange{first, end - first});
    return;
  }
  const RowRange mine = share_of_rows(groups, grid.column_parts, column_part);
  for (std::size_t i = 0; i < mine.count; ++i) {
    run(own, mine.first + i, PanelRange{0, layout.panels()}, RowRange{0, columns});
  }
}

// A part of the products of a dense step, from `in` into `out`, and what is added to them; then
// then(rows, columns of the result). `rounds` as TiledOptions has it.
template <class T, class Then>
void products_part(const DenseStep& operation, const StepCall<T>& call, const StepPart& part,
                   std::span<const PackedWeights<T>> packed, bool rounds, const Frame<T>& frame,
                   const T* bias, const Activation& activation, MatrixView<T> out, Then then) {
  const Step& step = call.step();
  const bool adds = step.inputs.size() > 1;
  const ConstMatrixView<T> in = frame(step.inputs[0]);
  const ConstMatrixView<T> add = adds ? frame(step.inputs[1]) : MatrixView<T>{};
  for_share(packed[0].layout(), operation.groups, operation.out_features, out.rows, part,
            [&](RowRange rows, std::size_t group, PanelRange panels, RowRange columns) {
              const RowRange own{group * operation.out_features + columns.first, columns.count};
              const MatrixView<T> y = out.row_block(rows.first, rows.count);
              if (adds) {
                give<T>(call.table(),
                        add.row_block(rows.first, rows.count).column_block(own.first, own.count),
                        y.column_block(own.first, own.count), false);
              }
              tiled_layer<T>(part_of(ConstMatrixView<T>(in.row_block(rows.first, rows.count)),
                                     group, operation.in_features),
                             packed[group], {panels, part.from_memory, adds, rounds},
                             part_of(bias, group, operation.out_features), activation,
                             part_of(y, group, operation.out_features));
              then(rows, own);
            });
}

}  // namespace

template <class T>
void forward_part(const StepCall<T>& call, const Frame<T>& values, const StepPart& part) {
  const DenseStep& operation = *call.program.dense(call.index);
  const MatrixView<T> out = values(call.step().output);
  const bool by_unit = operation.units.any();
  products_part<T>(
      operation, call, part, call.dense().packed, call.operands.rounds, values, call.dense().bias,
      by_unit ? Activation{} : operation.activation, out, [&](RowRange rows, RowRange columns) {
        if (!by_unit) return;
        const MatrixView<T> own =
            out.row_block(rows.first, rows.count).column_block(columns.first, columns.count);
        apply<T>(call, operation.activation, operation.units, own, own, columns.first);
      });
}

template <class T>
void record_part(const StepCall<T>& call, const Frame<T>& values, const Frame<T>& kept, bool wanted,
                 const StepPart& part) {
  const DenseStep& operation = *call.program.dense(call.index);
  const MatrixView<T> out = wanted ? values(call.step().output) : MatrixView<T>{};
  if (constant_slopes(operation.activation)) {
    if (!wanted) return;
    return products_part<T>(operation, call, part, call.dense().packed, call.operands.rounds,
                            values, call.dense().bias, Activation{}, out,
                            [](RowRange, RowRange) {});
  }
  const MatrixView<T> d = kept_of(call, kept, call.step().output.count);
  MatrixView<T> z = wanted ? out : d;
  if (operation.units.any()) z = kept_of(call, kept, call.step().output.count, kFirstOfUnits);
  products_part<T>(
      operation, call, part, call.dense().packed, call.operands.rounds, values, nullptr,
      Activation{}, z, [&](RowRange rows, RowRange columns) {
        const auto own = [&](MatrixView<T> view) {
          if (!view.data) return view;
          return view.row_block(rows.first, rows.count).column_block(columns.first, columns.count);
        };
        apply_with_slopes<T>(call, operation.activation, operation.units, call.dense().bias, own(z),
                             own(out), own(d), columns.first);
      });
}

template <class T>
void pull_back_product(const StepCall<T>& call, const Recorded<T>& recorded,
                       const Frame<T>& gradients, Slopes slopes, const StepPart& part) {
  const DenseStep& operation = *call.program.dense(call.index);
  const MatrixView<T> to = gradients(call.step().inputs[0]);
  if (!to.data) return;
  const ConstMatrixView<T> g = times_slopes(call, recorded, gradients, slopes);
  const bool adds = call.program.backward(call.index).adds[0];
  const bool gather = slopes != Slopes::keep && gathers_back(operation, call, recorded, gradients);
  const DenseOperands<T>& own = call.dense();
  for_share(own.transposed[0].layout(), operation.groups, operation.in_features, to.rows, part,
            [&](RowRange rows, std::size_t group, PanelRange panels, RowRange columns) {
              const ConstMatrixView<T> from =
                  part_of(g.row_block(rows.first, rows.count), group, operation.out_features);
              const MatrixView<T> result =
                  part_of(to.row_block(rows.first, rows.count), group, operation.in_features);
              if (!gather) {
                return tiled_layer<T>(from, own.transposed[group], {panels, part.from_memory, adds},
                                      nullptr, Activation{}, result);
              }
              gathered_product<T>(
                  own.weight.column_block(columns.first, columns.count), call.table(), from,
                  slopes_of(operation.activation, call, recorded.kept), recorded.first + rows.first,
                  recorded.repeat, result.column_block(columns.first, columns.count));
            });
}

template <class T>
void push_forward_part(const StepCall<T>& call, const Recorded<T>& recorded,
                       const Frame<T>& tangents, const StepPart& part) {
  const DenseStep& operation = *call.program.dense(call.index);
  const MatrixView<T> out = tangents(call.step().output);
  const ConstMatrixView<T> d = slopes_of(operation.activation, call, recorded.kept);
  products_part<T>(
      operation, call, part, call.dense().for_tangents(), false, tangents, nullptr, Activation{},
      out, [&](RowRange rows, RowRange columns) {
        if (!d.data) return;
        scale_by_diagonal<T>(
            call.table(),
            out.row_block(rows.first, rows.count).column_block(columns.first, columns.count),
            d.column_block(columns.first, columns.count), recorded.first + rows.first,
            recorded.repeat);
      });
}

#define LAMINET_INSTANTIATE(T)                                                                     \
  template void forward_part(const StepCall<T>&, const Frame<T>&, const StepPart&);                \
  template void record_part(const StepCall<T>&, const Frame<T>&, const Frame<T>&, bool,            \
                            const StepPart&);                                                      \
  template void pull_back_product(const StepCall<T>&, const Recorded<T>&, const Frame<T>&, Slopes, \
                                  const StepPart&);                                                \
  template void push_forward_part(const StepCall<T>&, const Recorded<T>&, const Frame<T>&,         \
                                  const StepPart&);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet::steps
