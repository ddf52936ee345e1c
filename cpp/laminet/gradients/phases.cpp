#include "laminet/gradients/phases.h"

#include <algorithm>

#include "laminet/base/types.h"

namespace laminet {

std::vector<BackPhase> back_phases(const Program& program) {
  std::vector<BackPhase> phases;
  for (std::size_t s = program.steps().size(); s-- > 0;) {
    if (!program.dense(s)) {
      phases.push_back({s, BackStage::all});
      continue;
    }
    phases.push_back({s, BackStage::slopes});
    phases.push_back({s, BackStage::product});
    if (program.steps()[s].inputs.size() > 1) phases.push_back({s, BackStage::sum});
  }
  return phases;
}

BackPhases::BackPhases(const std::vector<BackPhase>& all, std::size_t last)
    : first(all.data() + all.size()), count(0) {
  if (last == kNoStep) return;
  const auto begin = std::find_if(all.begin(), all.end(),
                                  [&](const BackPhase& phase) { return phase.step <= last; });
  count = static_cast<std::size_t>(all.end() - begin);
  first -= count;
}

template <class T>
void pull_back_phase(const Program& program, const Operands<T>& operands,
                     const Recorded<T>& recorded, const WayBack& way, const Frame<T>& gradients,
                     const BackPhase& phase, const StepPart& part) {
  if (phase.stage == BackStage::slopes || phase.stage == BackStage::all) {
    for_own_rows(gradients.rows(), part, [&](RowRange rows) {
      begin_step(program, phase.step, gradients.rows(rows.first, rows.count));
    });
  }
  pull_back_part(StepCall<T>{program, phase.step, operands}, recorded, gradients,
                 way.slopes(phase.step), phase.stage, part);
}

#define LAMINET_INSTANTIATE(T)                                                          \
  template void pull_back_phase(const Program&, const Operands<T>&, const Recorded<T>&, \
                                const WayBack&, const Frame<T>&, const BackPhase&,      \
                                const StepPart&);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet
