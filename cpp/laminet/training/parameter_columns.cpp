#include "laminet/training/parameter_columns.h"

#include <algorithm>

#include "laminet/network/steps/norm.h"
#include "laminet/network/steps/units.h"

namespace laminet {

ParameterColumns::ParameterColumns(const Mlp<double>& net)
    : width_(Panels::Shape(net.table().gradient_tile, 1, 1).width) {
  const double* const from = net.parameters().data();
  const auto block = [&](const double* values, std::size_t rows, std::size_t columns) {
    return ParameterBlock{static_cast<std::size_t>(values - from), rows, columns};
  };
  for (std::size_t l = 0; l < net.layers().size(); ++l) {
    const DenseView<double>& layer = net.layers()[l];
    const auto [step, group, first] = net.places()[l];
    const std::size_t out = layer.weight.rows;
    const std::size_t in = layer.weight.columns;
    const Columns& read = net.program().steps()[step].inputs[0];
    // Long runs.
    const bool by_input = in < out;
    const Columns input{read.buffer, read.first + group * in, in};
    dense_.push_back({step, input, first, out, layer.bias != nullptr, count_, by_input});
    add({.kind = Kind::weight,
         .step = step,
         .input = input,
         .first = first,
         .column = count_,
         .block = block(layer.weight.data, out, in),
         .by_input = by_input,
         .runs = {}},
        by_input ? in : out, by_input ? out : in);
    if (layer.bias) {
      add({Kind::bias, step, {}, first, count_, block(layer.bias, 1, out), false, {}}, 1, out);
    }
  }
  const auto add_row = [&](Kind kind, const ColumnsPlace& place, const double* values,
                           std::size_t columns) {
    if (!values) return;
    add({kind, place.step, {}, place.first, count_, block(values, 1, columns), false, {}}, 1,
        columns);
  };
  for (std::size_t i = 0; i < net.norms().size(); ++i) {
    const NormView<double>& norm = net.norms()[i];
    add_row(Kind::norm_weight, net.norm_places()[i], norm.weight, norm.features);
    add_row(Kind::norm_bias, net.norm_places()[i], norm.bias, norm.features);
  }
  for (std::size_t i = 0; i < net.units().size(); ++i) {
    const UnitsView<double>& units = net.units()[i];
    add_row(Kind::alphas, net.unit_places()[i], units.units.alphas, units.features);
    add_row(Kind::betas, net.unit_places()[i], units.units.betas, units.features);
  }
}

// So many lines of that length side by side, cut where panels end.
void ParameterColumns::add(Part part, std::size_t lines, std::size_t length) {
  for (std::size_t l = 0; l < lines; ++l) {
    for (std::size_t i = 0; i < length;) {
      const std::size_t count = std::min(length - i, width_ - count_ % width_);
      part.runs.push_back({count_, count, i, part.kind == Kind::weight ? l : kNone});
      count_ += count;
      i += count;
    }
  }
  parts_.push_back(std::move(part));
}

void ParameterColumns::gather(const Parameters<double>& from, double* to) const {
  for (const Part& part : parts_) {
    const auto [rows, columns] = std::pair(part.block.rows, part.block.columns);
    MatrixView<double> own = dense_view(to + part.column, rows, columns);
    if (part.by_input) own = {own.data, rows, columns, 1, static_cast<std::ptrdiff_t>(rows)};
    copy<double>(from[part.block], own);
  }
}

void ParameterColumns::scatter(const double* from, Parameters<double>& to) const {
  for (const Part& part : parts_) {
    const auto [rows, columns] = std::pair(part.block.rows, part.block.columns);
    ConstMatrixView<double> own = dense_view(from + part.column, rows, columns);
    if (part.by_input) own = {own.data, rows, columns, 1, static_cast<std::ptrdiff_t>(rows)};
    copy<double>(own, to.change(part.block));
  }
}

void ParameterColumns::mark_weights(double* to, double mark, double other) const {
  for (const Part& part : parts_) {
    std::fill_n(to + part.column, part.block.size(), part.kind == Kind::weight ? mark : other);
  }
}

void ParameterColumns::fill(const Program& program, const Operands<double>& operands,
                            const Tape<double>& tape, const Panels& panels,
                            std::size_t first) const {
  const std::size_t rows = tape.samples();
  const std::ptrdiff_t stride = panels.stride();
  for (const Part& part : parts_) {
    const StepCall<double> call{program, part.step, operands};
    const std::size_t count = part.block.size();
    const auto delta = [&](std::size_t columns) {
      return tape.kept()({program.first_kept(part.step), part.first, columns});
    };
    MatrixView<double> values;  // of which runs are
    MatrixView<double> factors;
    switch (part.kind) {
      case Kind::weight:
        values = tape.values()(part.input);
        factors = delta(part.block.rows);
        if (part.by_input) std::swap(values, factors);
        break;
      case Kind::bias:
        values = delta(count);
        break;
      case Kind::norm_weight:
      case Kind::norm_bias:
        values = steps::gradient_of(call, tape.kept()).column_block(part.first, count);
        if (part.kind == Kind::norm_weight) {
          factors = steps::normalized_of(call, tape.kept()).column_block(part.first, count);
        }
        break;
      case Kind::alphas:
      case Kind::betas: {
        const auto own = steps::unit_gradients_of(call, tape.kept(), part.first, count);
        values = part.kind == Kind::alphas ? own.alphas : own.betas;
        break;
      }
    }
    for (const Run& run : part.runs) {
      double* to = panels.column(run.column) + static_cast<std::ptrdiff_t>(first) * stride;
      for (std::size_t i = 0; i < rows; ++i, to += stride) {
        const double* const from = values.row(i) + run.from;
        if (run.factor != kNone) {
          const double factor = factors.row(i)[run.factor];
          for (std::size_t j = 0; j < run.count; ++j) to[j] = factor * from[j];
        } else if (factors.data) {
          const double* const by = factors.row(i) + run.from;
          for (std::size_t j = 0; j < run.count; ++j) to[j] = from[j] * by[j];
        } else {
          for (std::size_t j = 0; j < run.count; ++j) to[j] = from[j];
        }
      }
    }
  }
}

}  // namespace laminet
