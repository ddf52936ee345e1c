// Derivatives of few rows, for which the threads share each step, as Split::layers does for a
// forward pass: by columns of its products, so that each weight is read by one of them.
//
// All is one series of phases, in the memory of the caller: steps forward, then stages of steps
// back. A thread takes the same part of each.
#pragma once

#include <cstddef>
#include <vector>

#include "laminet/base/parallel.h"
#include "laminet/gemm/blocking.h"
#include "laminet/gradients/split.h"
#include "laminet/gradients/tape.h"
#include "laminet/network/steps/steps.h"

namespace laminet {

struct BackPhase {
  std::size_t step;
  BackStage stage;
};

// Stage by stage from the last step back.
std::vector<BackPhase> back_phases(const Program& program);

// Of those, the ones of the steps up to `last`; none for kNoStep.
struct BackPhases {
  BackPhases(const std::vector<BackPhase>& all, std::size_t last);
  const BackPhase* first;
  std::size_t count;
};

// One of them, of what tape.h's pull_back does.
template <class T>
void pull_back_phase(const Program& program, const Operands<T>& operands,
                     const Recorded<T>& recorded, const WayBack& way, const Frame<T>& gradients,
                     const BackPhase& phase, const StepPart& part);

// use(rows) for the rows of a part, if there are some.
template <class Use>
void for_own_rows(std::size_t rows, const StepPart& part, Use use) {
  const RowRange own = share_of_rows(rows, part.parts, part.part);
  if (own.count > 0) use(own);
}

// function(phase, part) for phases below `phases`, one after the other on the team.
template <class Function>
void run_series(const StepSharing& sharing, std::size_t phases, Function function) {
  parallel_phases(phases, sharing.threads, sharing.wake, [&](std::size_t phase, std::size_t part) {
    function(phase, StepPart{part, sharing.threads, sharing.from_memory});
  });
}

}  // namespace laminet
