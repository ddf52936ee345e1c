#include "laminet/network/plan.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <string>

#include "bindings.h"
#include "laminet/base/check.h"
#include "laminet/base/thread_count.h"
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
  py::list layers;
  for (const LayerPlan& layer : mlp.layer_plans(plan)) {
    py::dict info;
    py::list panels;
    for (const PanelCount& count : {layer.wide, layer.narrow}) {
      if (count.panels > 0) panels.append(py::make_tuple(count.panels, count.mr, count.nr));
    }
    info["row_parts"] = layer.row_parts;
    info["column_parts"] = layer.column_parts;
    info["padded_columns"] = layer.padded_columns;
    info["panels"] = panels;
    layers.append(info);
  }
  py::dict result;
  result["backend"] = std::string(name(plan.backend));
  result["split"] = split_name(plan.split);
  result["threads"] = plan.threads;
  result["block_rows"] =
      plan.split == Split::layers ? std::min(batch, plan.chunk_rows) : plan.blocks.most_rows();
  result["layers"] = layers;
  return result;
}

}  // namespace

void register_plan(py::module_& module) {
  module.def("plan_f32", &plan<float>, py::arg("network"), py::arg("batch"));
  module.def("plan_f64", &plan<double>, py::arg("network"), py::arg("batch"));
}

}  // namespace laminet
