#include "laminet/network/plan.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <string>

#include "bindings.h"
#include "laminet/base/check.h"
#include "laminet/base/thread_count.h"
#include "laminet/gemm/pack.h"
#include "laminet/network/mlp.h"
#include "network.h"

namespace laminet {
namespace {

namespace py = pybind11;

const char* split_name(Split split) {
  switch (split) {
    case Split::none:
      return "none";
    case Split::rows:
      return "rows";
    case Split::layers:
      return "layers";
  }
  return "";
}

// What the thread that has most of a layer does: [(panels, mr, nr)], wide panels before the tail.
template <class T>
py::list largest_share(const PanelLayout<T>& layout, std::size_t column_parts) {
  std::size_t most = 0;
  PanelRange largest{0, 0};
  const auto body_of = [&](PanelRange range) {
    return std::min(range.last, layout.body_panels) - std::min(range.first, layout.body_panels);
  };
  for (std::size_t part = 0; part < column_parts; ++part) {
    const PanelRange range = layout.share(column_parts, part);
    const bool tail = range.last > layout.body_panels && range.last > range.first;
    const std::size_t columns = body_of(range) * layout.body->nr + (tail ? layout.tail_nr() : 0);
    if (columns > most) {
      most = columns;
      largest = range;
    }
  }
  py::list panels;
  if (const std::size_t body = body_of(largest); body > 0) {
    panels.append(py::make_tuple(body, layout.body->mr, layout.body->nr));
  }
  if (largest.last > layout.body_panels) {
    panels.append(py::make_tuple(1, layout.tail->mr, layout.tail->nr));
  }
  return panels;
}

// How a network works through a batch: "backend"; "split": none, rows or layers; "threads";
// "block_rows", of rows that go through all layers, or one, together; for each layer the parts of
// its rows and columns, the columns with padding, and the panels of the thread that has most of
// them.
template <class T>
py::dict plan(const py::object& network, std::size_t batch) {
  require(batch >= 1, "batch is 0, expected 1 or more");
  const Mlp<T>& mlp = mlp_of<T>(network);
  (void)thread_count();  // asks for the CPUs of now, as a report is read at leisure
  const Plan plan = mlp.plan(batch);
  const bool layers_shared = plan.split == Split::layers;
  const std::size_t chunk = std::min(batch, plan.chunk_rows);
  py::list layers;
  for (const Dense<T>& layer : mlp.layers()) {
    const PanelLayout<T> layout(layer.out_features(), mlp.instruction_set().template table<T>());
    Grid grid{plan.split == Split::rows ? plan.threads : 1, 1};
    if (layers_shared) grid = choose_grid(layout, chunk, plan.threads);
    py::dict info;
    info["row_parts"] = grid.row_parts;
    info["column_parts"] = grid.column_parts;
    info["padded_columns"] = layout.padded_columns();
    info["panels"] = largest_share(layout, grid.column_parts);
    layers.append(info);
  }
  py::dict result;
  result["backend"] = std::string(name(plan.backend));
  result["split"] = split_name(plan.split);
  result["threads"] = plan.threads;
  result["block_rows"] = layers_shared ? chunk : plan.blocks.most_rows();
  result["layers"] = layers;
  return result;
}

}  // namespace

void register_plan(py::module_& module) {
  module.def("plan_f32", &plan<float>, py::arg("network"), py::arg("batch"));
  module.def("plan_f64", &plan<double>, py::arg("network"), py::arg("batch"));
}

}  // namespace laminet
