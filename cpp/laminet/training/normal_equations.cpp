#include "laminet/training/normal_equations.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "laminet/base/check.h"
#include "laminet/base/parallel.h"
#include "laminet/base/scratch.h"
#include "laminet/base/thread_count.h"
#include "laminet/gradients/blocks.h"
#include "laminet/gradients/tape.h"
#include "laminet/network/steps/steps.h"

namespace laminet {
namespace {

struct RowsPurpose;
struct ForwardPurpose;

// No more chunks of samples than that, and no shorter ones than so many blocks.
constexpr std::size_t kMostChunks = 16;
constexpr std::size_t kLeastBlocks = 2;

// Below it a second thread costs more than it saves.
constexpr double kLeastFlopsToShare = 5e5;

// What a function of an element costs, in FLOPs of a product that takes as long.
constexpr double kFlopsOfFunction = 40;

std::size_t threads_for(double flops) { return flops < kLeastFlopsToShare ? 1 : num_threads(); }

// Constants, too.
Parameters<double> copy_of(const Parameters<double>& from) {
  Parameters<double> result(from.size());
  std::copy_n(from.data(), from.size(), result.change({0, 1, from.size()}).data);
  return result;
}

double forward_flops(const Program& program) {
  return program.flops() + kFlopsOfFunction * static_cast<double>(program.forward_layout().columns);
}

}  // namespace

NormalEquations::NormalEquations(const Mlp<double>& start)
    : program_(start.program()),
      columns_(start),
      parameters_(copy_of(start.parameters())),
      forward_(program_, parameters_, start.table(), Packing::forward),
      transposed_(program_, parameters_, start.table(), Packing::transposed),
      steps_(program_.steps().size()),
      width_(columns_.count() + 1),
      stride_(round_up(width_, 8)) {
  require(start.head() == Head::none, "least squares are of a network without a head");
  require(columns_.count() > 0, "the network has no parameters to be trained");
  for (std::size_t s = 0; s < steps_.size(); ++s) {
    if (const DenseStep* const dense = program_.dense(s)) {
      steps_[s] = {parameters_[dense->bias].data, forward_[s], transposed_[s], {}};
    }
  }
  operands_ = {parameters_.data(), steps_, &start.table(), true, false};
  if (few_columns()) return;
  rows_ = HugePageArray<double>(shape().elements());
  for (const DenseColumns& layer : columns_.dense()) {
    if (!PairProducts::worthwhile(layer)) continue;
    pairs_.emplace_back(layer, table(), kBlock);
    apart_.push_back(pairs_.back().columns());
  }
}

MatrixView<double> NormalEquations::sums_of(std::size_t chunk) const {
  return {sums_.data() + chunk * width_ * stride_, width_, width_,
          static_cast<std::ptrdiff_t>(stride_), 1};
}

std::size_t NormalEquations::chunk_rows(std::size_t batch) const {
  if (!few_columns()) return batch;
  return round_up((batch + kMostChunks - 1) / kMostChunks, kLeastBlocks * kBlock);
}

void NormalEquations::begin(const LeastSquaresSamples& samples) {
  const std::size_t batch = samples.x.rows;
  require(batch > 0, "least squares take at least one sample");
  require(samples.x.columns == program_.in_features(), "x has ", samples.x.columns,
          " features, the network takes ", program_.in_features());
  check_rows<double>("targets", samples.targets, batch, program_.out_features());
  if (squares_.size() < batch) {
    squares_ = AlignedArray<double>(batch);
    scales_ = AlignedArray<double>(batch);
  }
  const std::size_t chunks = (batch + chunk_rows(batch) - 1) / chunk_rows(batch);
  const std::size_t size = checked_product(chunks, checked_product(width_, stride_));
  if (sums_.size() < size) sums_ = HugePageArray<double>(size);
  double weight = static_cast<double>(batch);
  if (samples.weights) weight = std::accumulate(samples.weights, samples.weights + batch, 0.0);
  require(weight > 0 && std::isfinite(weight), "the sum of the weights of samples is ", weight,
          ", expected a number above 0");
  const auto outputs = static_cast<double>(program_.out_features());
  for (std::size_t i = 0; i < batch; ++i) {
    const double own = samples.weights ? samples.weights[i] : 1;
    scales_.data()[i] = std::sqrt(own / weight / outputs);
  }
}

void NormalEquations::load(const double* numbers) {
  columns_.scatter(numbers, parameters_);
  forward_.refresh(parameters_);
}

// The squares of the residuals of some samples, and those of one output themselves.
void NormalEquations::residuals(const LeastSquaresSamples& samples, const Rows& rows,
                                MatrixView<double> outputs, std::size_t output, double* column,
                                std::ptrdiff_t stride) {
  for (std::size_t i = 0; i < rows.count; ++i) {
    const double scale = scales_.data()[rows.first + i];
    double sum = 0;
    for (std::size_t j = 0; j < outputs.columns; ++j) {
      const double r = scale * (outputs(i, j) - samples.targets(rows.first + i, j));
      sum += r * r;
      if (column && j == output) column[static_cast<std::ptrdiff_t>(i) * stride] = r;
    }
    squares_.data()[rows.first + i] = sum;
  }
}

void NormalEquations::forward_rows(const LeastSquaresSamples& samples, const Rows& rows) {
  const std::size_t in = row_stride(program_.in_features());
  const std::size_t out = row_stride(program_.out_features());
  const std::size_t buffers = program_.forward_layout().columns;
  double* const memory = thread_scratch<double, ForwardPurpose>(rows.count * (buffers + in + out));
  double* const ends = memory + rows.count * buffers;
  const ConstMatrixView<double> given = samples.x.row_block(rows.first, rows.count);
  // No step writes the input.
  MatrixView<double> x{const_cast<double*>(given.data), given.rows, given.columns, given.row_stride,
                       given.column_stride};
  if (!operands_.usable(given)) {
    x = {ends, rows.count, given.columns, static_cast<std::ptrdiff_t>(in), 1};
    copy<double>(given, x);
  }
  const MatrixView<double> y{ends + rows.count * in, rows.count, program_.out_features(),
                             static_cast<std::ptrdiff_t>(out), 1};
  const Frame<double> frame(program_.forward_layout(), memory, rows.count, x, y);
  for (std::size_t s = 0; s < program_.steps().size(); ++s) {
    forward(StepCall<double>{program_, s, operands_}, frame);
  }
  residuals(samples, rows, y, 0, nullptr, 0);
}

// The rows of J, from `first` on, of one output of some samples.
void NormalEquations::jacobian_rows(const LeastSquaresSamples& samples, const Rows& rows,
                                    std::size_t output, const Panels& panels, std::size_t first) {
  Tape<double>& tape = thread_tape<double>();
  tape.start(program_, operands_, samples.x.row_block(rows.first, rows.count));
  const MatrixView<double> y = tape.values()(program_.output());
  tape.run(program_, operands_, 0, rows.count, y);
  const std::ptrdiff_t stride = panels.stride();
  double* const column = panels.column(columns_.count());
  residuals(samples, rows, y, output, column + static_cast<std::ptrdiff_t>(first) * stride, stride);
  const auto gradients = ChainFrame<double>::backward(program_, operands_, rows.count, {});
  const MatrixView<double> g = gradients.frame()(program_.output());
  for (std::size_t i = 0; i < rows.count; ++i) {
    std::fill_n(g.row(i), g.columns, 0.0);
    g(i, output) = scales_.data()[rows.first + i];
  }
  pull_back<double>(program_, operands_, {tape.values(), tape.kept(), 0, 1},
                    {.last = program_.steps().size() - 1, .keep = true}, gradients.frame());
  columns_.fill(program_, operands_, tape, panels, first);
  for (PairProducts& pairs : pairs_) pairs.fill(program_, tape, first);
}

double NormalEquations::total(std::size_t batch) const {
  // Partial sums, so that no addition waits for the one before.
  constexpr std::size_t kSums = 8;
  double sums[kSums] = {};
  for (std::size_t i = 0; i < batch; ++i) sums[i % kSums] += squares_.data()[i];
  return std::accumulate(sums, sums + kSums, 0.0);
}

double NormalEquations::loss(const LeastSquaresSamples& samples) {
  const std::size_t batch = samples.x.rows;
  const std::size_t blocks = (batch + kBlock - 1) / kBlock;
  const std::size_t threads = threads_for(forward_flops(program_) * static_cast<double>(batch));
  for_tasks(threads, blocks, [&](std::size_t i) {
    forward_rows(samples, {i * kBlock, std::min(kBlock, batch - i * kBlock)});
  });
  return total(batch);
}

double NormalEquations::form(const LeastSquaresSamples& samples) {
  transposed_.refresh(parameters_);
  const std::size_t batch = samples.x.rows;
  const auto width = static_cast<double>(width_);
  const double rows = static_cast<double>(batch * program_.out_features());
  const std::size_t threads = threads_for((3 * forward_flops(program_) + width * width) * rows);
  if (few_columns()) {
    form_by_chunks(samples, threads);
  } else {
    form_by_tiles(samples, threads);
  }
  return total(batch);
}

// Of few columns: the threads share chunks of samples, each with sums of its own.
void NormalEquations::form_by_chunks(const LeastSquaresSamples& samples, std::size_t threads) {
  const std::size_t batch = samples.x.rows;
  const std::size_t most = chunk_rows(batch);
  const std::size_t chunks = (batch + most - 1) / most;
  for_tasks(threads, chunks, [&](std::size_t c) {
    const Panels panels(thread_scratch<double, RowsPurpose>(shape().elements()), shape());
    const std::size_t end = std::min(batch, (c + 1) * most);
    for (std::size_t first = c * most; first < end; first += kBlock) {
      const Rows rows{first, std::min(kBlock, end - first)};
      for (std::size_t j = 0; j < program_.out_features(); ++j) {
        jacobian_rows(samples, rows, j, panels, 0);
        add_normal_matrix(table().gradient_tile, panels, rows.count, first > c * most || j > 0,
                          sums_of(c));
      }
    }
  });
  double* const sums = sums_.data();
  for (std::size_t c = 1; c < chunks; ++c) {
    const double* const own = sums + c * width_ * stride_;
    for (std::size_t i = 0; i < width_; ++i) {
      for (std::size_t j = i; j < width_; ++j) sums[i * stride_ + j] += own[i * stride_ + j];
    }
  }
}

// Of many: they share the rows of a block, then the tiles of the sums; one block after the other.
void NormalEquations::form_by_tiles(const LeastSquaresSamples& samples, std::size_t threads) {
  const std::size_t batch = samples.x.rows;
  const std::size_t outputs = program_.out_features();
  const std::size_t blocks = (batch + kBlock - 1) / kBlock;
  const Panels panels(rows_.data(), shape());
  const std::size_t phases = 2 * blocks * outputs;
  const auto run = [&](std::size_t phase, std::size_t part) {
    if (phase == phases) {
      for (const PairProducts& pairs : pairs_) pairs.write(sums_of(0), {part, threads});
      return;
    }
    const std::size_t turn = phase / 2;
    const std::size_t first = turn / outputs * kBlock;
    const std::size_t count = std::min(kBlock, batch - first);
    if (phase % 2 == 1) {
      const Share share{part, threads};
      for (PairProducts& pairs : pairs_) pairs.add(count, turn > 0, share);
      return add_normal_matrix(table().gradient_tile, panels, count, turn > 0, sums_of(0), apart_,
                               share);
    }
    const RowRange own = share_of_rows(count, threads, part);
    if (own.count > 0) {
      jacobian_rows(samples, {first + own.first, own.count}, turn % outputs, panels, own.first);
    }
  };
  if (threads > 1) {
    parallel_phases(phases + 1, threads, Wake::always, run);
  } else {
    for (std::size_t phase = 0; phase <= phases; ++phase) run(phase, 0);
  }
}

}  // namespace laminet
