#include "steps.h"

#include <pybind11/stl.h>

#include <variant>
#include <vector>

#include "laminet/gradients/split.h"
#include "laminet/network/overloaded.h"
#include "laminet/network/steps/steps.h"

namespace laminet {
namespace {

namespace py = pybind11;

const char* kind_of(const Operation& operation) {
  return std::visit(
      Overloaded{[](const DenseStep&) { return "dense"; },
                 [](const ActivationStep&) { return "activation"; },
                 [](const RescaleStep&) { return "rescale"; },
                 [](const NormStep& norm) { return norm.center ? "layer norm" : "rms norm"; },
                 [](const SoftmaxStep&) { return "softmax"; },
                 [](const SelectStep&) { return "select"; }, [](const CopyStep&) { return "copy"; },
                 [](const DropoutStep&) { return "dropout"; },
                 [](const SumStep& sum) { return sum.factor == 1.0 ? "sum" : "mean"; }},
      operation);
}

// Numbers of layers and branches; -1 for each branch.
py::tuple described(const LayerPath& path) {
  py::tuple result(path.size());
  for (std::size_t i = 0; i < path.size(); ++i) {
    result[i] = path[i] == kEachBranch ? -1 : static_cast<py::ssize_t>(path[i]);
  }
  return result;
}

// In the order of laminet.core.steps.Work.
py::tuple described(const StepCost& cost) {
  return py::make_tuple(cost.products, cost.biases, cost.functions, cost.others, cost.read,
                        cost.written, cost.weights_read, cost.biases_read, cost.gradients_written);
}

py::dict described(const StepCosts& costs) {
  py::dict result;
  result["forward"] = described(costs.forward);
  result["record"] = described(costs.record);
  result["pull_back"] = described(costs.pull_back);
  result["push_forward"] = described(costs.push_forward);
  result["gradients"] = described(costs.gradients);
  result["first_factor"] = described(costs.first_factor);
  return result;
}

}  // namespace

py::dict described(const Program& program) {
  const std::vector<StepCosts> all_costs = costs(program);
  py::list steps;
  for (std::size_t s = 0; s < program.steps().size(); ++s) {
    const Step& step = program.steps()[s];
    const DenseStep* const dense = program.dense(s);
    py::dict info;
    info["kind"] = kind_of(step.operation);
    info["layer"] = described(step.origin.layer);
    info["function"] = described(step.origin.function);
    info["copies"] = step.origin.copies;
    info["groups"] = dense ? dense->groups : 1;
    info["in_features"] = dense ? dense->in_features : step.inputs[0].count;
    info["out_features"] = dense ? dense->out_features : step.output.count;
    info["adds"] = dense && step.inputs.size() > 1;
    info["costs"] = described(all_costs[s]);
    steps.append(info);
  }
  const JacobianRule rule = jacobian_rule(program);
  py::dict result;
  result["steps"] = steps;
  result["mode"] = rule.mode == JacobianMode::reverse ? "reverse" : "forward";
  result["first"] = rule.first;
  return result;
}

}  // namespace laminet
