// Weights in the order in which the register tiles read them.
#pragma once

#include <cstddef>
#include <type_traits>

#include "laminet/base/bfloat16.h"
#include "laminet/base/matrix.h"
#include "laminet/kernels/forward.h"
#include "laminet/kernels/tile.h"

namespace laminet {

// Panels first .. last - 1 of a layout, the tail being the last one.
struct PanelRange {
  std::size_t first;
  std::size_t last;
};

// How n outputs are divided into panels: `body` panels of the widest tile that pays, then at most
// one panel of a narrower tile for the rest, so that few outputs do not pay for a wide panel.
template <class T>
struct PanelLayout {
  PanelLayout(std::size_t n, const kernels::Table<T>& table);

  std::size_t body_panels;
  std::size_t tail_columns;  // 0: no tail
  const kernels::Tile<T>* body;
  const kernels::Tile<T>* tail;

  std::size_t padded_columns() const { return body_panels * body->nr + tail_nr(); }
  std::size_t tail_nr() const { return tail_columns > 0 ? tail->nr : 0; }
  std::size_t panels() const { return body_panels + (tail_columns > 0 ? 1 : 0); }

  // Share `part` of `parts` that have as equal numbers of padded columns as whole panels allow.
  PanelRange share(std::size_t parts, std::size_t part) const;
};

// How weights are stored in their panels.
enum class Stored { as_given, bfloat16, bfloat16_pairs };

// Rows of a panel.
constexpr std::size_t panel_depth(std::size_t k, Stored stored) {
  return stored == Stored::bfloat16_pairs ? (k + 1) / 2 : k;
}

template <class T>
constexpr std::size_t size_of(Stored stored) {
  static_assert(sizeof(bfloat16_pair) == 2 * sizeof(bfloat16));
  switch (stored) {
    case Stored::bfloat16:
      return sizeof(bfloat16);
    case Stored::bfloat16_pairs:
      return sizeof(bfloat16_pair);
    default:
      return sizeof(T);
  }
}

// W (n, k) as panels, one after the other; each holds, for every k, nr outputs side by side, those
// past n being zero. Any number of threads may read it while nobody packs it anew.
//
// Stored as bfloat16, weights are float that such numbers give exactly. Of pairs a panel has a row
// for every two k, and beside an odd last one -0 (tile.h).
template <class T>
class PackedWeights {
 public:
  PackedWeights(ConstMatrixView<T> w, const kernels::Table<T>& table);

  // As above, into `storage` of at least packed_size(...) elements that outlives this object.
  // `bias` is what the layer adds, or null.
  PackedWeights(ConstMatrixView<T> w, const kernels::Table<T>& table, T* storage, const T* bias);
  PackedWeights(ConstMatrixView<T> w, const kernels::Table<T>& table, bfloat16* storage,
                const T* bias);
  PackedWeights(ConstMatrixView<T> w, const kernels::Table<T>& table, bfloat16_pair* storage,
                const T* bias);

  // Of other numbers of the same shape, in the same place; only where the storage is another's and
  // weights are stored as given.
  void repack(ConstMatrixView<T> w, const T* bias);

  // What follows changes a part; may_skip_zeros() and finite() must not be asked afterwards.
  // `first` is even where weights are stored as pairs. Weights not stored as given become factors
  // (to_factor of base/bfloat16.h).
  //
  // The panel that begins with output `panel` nr, to change: of weights stored as given.
  T* change_panel(std::size_t panel) { return data_ + offset(panel); }
  // Packs anew the products from `first` on, of which w has the columns, of the outputs from
  // `output` on, of which w has the rows.
  void repack(ConstMatrixView<T> w, std::size_t output, std::size_t first);
  // Asks for the memory that this takes, on the calling thread, of weights not stored as given.
  static void reserve_repack(std::size_t rows, std::size_t columns);
  // The same of all outputs of a panel, of which w has the columns, and the products the rows; of
  // weights not stored as given.
  void repack_panel(ConstMatrixView<T> w, std::size_t panel, std::size_t first);

  std::size_t n() const { return n_; }
  std::size_t k() const { return k_; }
  const PanelLayout<T>& layout() const { return layout_; }
  const kernels::Table<T>& table() const { return *table_; }
  Stored stored() const {
    if (pairs_) return Stored::bfloat16_pairs;
    return halves_ ? Stored::bfloat16 : Stored::as_given;
  }
  // Rows of a panel.
  std::size_t depth() const { return panel_depth(k_, stored()); }
  // The tail's is that after the body's.
  template <class W = T>
  const W* panel(std::size_t i) const {
    if constexpr (std::is_same_v<W, T>) {
      return data_ + offset(i);
    } else if constexpr (std::is_same_v<W, bfloat16>) {
      return halves_ + offset(i);
    } else {
      return pairs_ + offset(i);
    }
  }
  // Whether leaving out the zeros of x changes no bit where the bias is added: no weight is
  // infinite or NaN, and the bias is not -0, so that the sign of a sum that is zero is not seen
  // after it.
  bool may_skip_zeros() const { return may_skip_zeros_; }
  // Whether all weights are finite. Known, as the above, where the storage is another's.
  bool finite() const { return finite_; }
  // Of its own storage.
  std::size_t bytes() const { return owned_.bytes(); }

 private:
  std::size_t offset(std::size_t panel) const { return panel * layout_.body->nr * depth(); }
  // Calls block(first element, elements) for what has been packed, block by block.
  template <class W, class Block>
  void pack(ConstMatrixView<T> w, W* out, Block block) const;
  template <class W>
  void pack_with(ConstMatrixView<T> w, W* out, const T* bias);
  // Of what stands for weights: `first` counts rows of panels.
  template <class W>
  void put(ConstMatrixView<W> w, W* panels, std::size_t output, std::size_t first);

  std::size_t n_;
  std::size_t k_;
  const kernels::Table<T>* table_;
  PanelLayout<T> layout_;
  AlignedArray<T> owned_;
  T* data_ = nullptr;           // the panels are here
  bfloat16* halves_ = nullptr;  // or here
  bfloat16_pair* pairs_ = nullptr;
  bool finite_ = false;
  bool may_skip_zeros_ = false;
};

// Elements of the packed form of an (n, k) matrix, pairs being one.
template <class T>
std::size_t packed_size(std::size_t n, std::size_t k, const kernels::Table<T>& table,
                        Stored stored = Stored::as_given);

}  // namespace laminet
