// Many terms combined into each of some outputs: by the threads of a block, in a tree whose shape depends on the
// numbers of outputs and terms alone, so that equal inputs give equal bits on every GPU. There are no atomic
// operations.
#pragma once

#include <bit>

#include "core/allocator.h"
#include "core/cuda/launch.h"

namespace gradus::cuda {

/// Two sums that are made together.
struct Pair {
  double first, second;
};
GRADUS_ANYWHERE inline Pair operator+(const Pair& a, const Pair& b) { return {a.first + b.first, a.second + b.second}; }

/// How the work is cut: a block has `lanes` threads for each of `width` outputs, and an output's terms are cut into
/// pieces for several blocks where there are few outputs.
struct Cut {
  int64_t outputs, terms;
  int lanes, width;
  int64_t tiles, pieces, piece;
  bool along_terms;  ///< neighbours in memory are terms of one output, not the same term of neighbouring outputs
};

/// Where terms are no neighbours, `width` neighbouring outputs or more share a block: they are read together. Where
/// that makes too few blocks for a GPU, fewer do, down to `narrowest`.
inline Cut make_cut(int64_t outputs, int64_t terms, bool along_terms, int64_t width = 32, int64_t narrowest = 8) {
  constexpr int64_t terms_per_lane = 4, terms_per_piece_and_lane = 16, enough_blocks = 1024;
  constexpr int64_t fewest_blocks = 128;
  const auto power = [](int64_t n) { return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(n))); };
  while (width > narrowest && outputs < fewest_blocks * width) width /= 2;
  const int64_t most_lanes =
      along_terms ? threads_per_block : threads_per_block / std::min(width, power(std::max<int64_t>(outputs, 1)));
  Cut cut{};
  cut.outputs = outputs;
  cut.terms = terms;
  cut.along_terms = along_terms;
  cut.lanes = static_cast<int>(
      std::min(most_lanes, power(std::max<int64_t>(1, (terms + terms_per_lane - 1) / terms_per_lane))));
  cut.width = threads_per_block / cut.lanes;
  cut.tiles = (outputs + cut.width - 1) / cut.width;
  const int64_t per_piece = cut.lanes * terms_per_piece_and_lane;
  const int64_t pieces = std::min((terms + per_piece - 1) / per_piece,
                                  std::max<int64_t>(1, enough_blocks / std::max<int64_t>(cut.tiles, 1)));
  cut.piece = pieces > 1 ? (terms + pieces - 1) / pieces : std::max<int64_t>(terms, 1);
  cut.pieces = std::max<int64_t>(1, (terms + cut.piece - 1) / cut.piece);
  return cut;
}

/// Where an output's terms begin: what its Term says by start(), or the output's number.
template <class Term>
GRADUS_ANYWHERE auto start_of(const Term& term, int64_t output) {
  if constexpr (requires { term.start(output); })
    return term.start(output);
  else
    return output;
}

/// The value of what at() returned.
template <class Term, class Start, class Loaded>
GRADUS_ANYWHERE typename Term::Value value_of(const Term& term, const Start& start, const Loaded& loaded) {
  if constexpr (requires { term.value(start, loaded); })
    return term.value(start, loaded);
  else
    return loaded;
}

/// Terms whose loads are under way at a time.
template <class Term>
constexpr int terms_at_once() {
  if constexpr (requires { Term::at_once; })
    return Term::at_once;
  else
    return 4;
}

/// The kernel. A Term has
///   Value                          a plain struct or number
///   Value none()                   the value of no terms
///   Start start(output)            optional: what all terms of the output share
///   Value at(start, i)             term i; may be called again for it, unless there is
///   int at_once                    optional: terms that are read at a time; 1 where at() writes what belongs to a term
///   Value value(start, loaded)     optional: then at() returns what it loaded as it is, and this makes a value of it.
///                                  So no load is waited for while others could be under way.
///   Value combine(Value, Value)    associative but for rounding
///   void finish(output, Value)     takes the total
template <class Term>
struct ReduceBlocks {
  using Value = typename Term::Value;
  static constexpr int at_once = terms_at_once<Term>();
  struct Shared {
    Value at[threads_per_block];
  };
  Term term;
  Cut cut;
  Value* partial;  // [pieces, outputs]; null where there is one piece

  GRADUS_ANYWHERE int phases() const {
    int levels = 0;
    while (1 << levels < cut.lanes) ++levels;
    return levels + 2;
  }
  GRADUS_ANYWHERE void operator()(int phase, int64_t block, int thread, Shared& shared) const {
    const int lane = cut.along_terms ? thread % cut.lanes : thread / cut.width;
    const int column = cut.along_terms ? thread / cut.lanes : thread % cut.width;
    const int64_t output = block % cut.tiles * cut.width + column, piece = block / cut.tiles;
    const int slot = lane * cut.width + column;
    const int half = cut.lanes >> phase;
    if (phase == 0) {
      Value total = term.none();
      const int64_t begin = piece * cut.piece, end = begin + cut.piece < cut.terms ? begin + cut.piece : cut.terms;
      if (output < cut.outputs && begin + lane < end) {
        const auto start = start_of(term, output);
        for (int64_t first = begin + lane; first < end; first += at_once * cut.lanes) {
          decltype(term.at(start, first)) next[at_once];
          GRADUS_UNROLL
          for (int k = 0; k < at_once; ++k)  // beyond the last one the first: a condition would wait for each load
            next[k] = term.at(start, first + k * cut.lanes < end ? first + k * cut.lanes : first);
          GRADUS_UNROLL
          for (int k = 0; k < at_once; ++k)
            if (first + k * cut.lanes < end) total = term.combine(total, value_of(term, start, next[k]));
        }
      }
      shared.at[slot] = total;
    } else if (half > 0) {
      if (lane < half) shared.at[slot] = term.combine(shared.at[slot], shared.at[slot + half * cut.width]);
    } else if (lane == 0 && output < cut.outputs) {
      if (partial)
        partial[piece * cut.outputs + output] = shared.at[slot];
      else
        term.finish(output, shared.at[slot]);
    }
  }
};

/// The terms of the second launch: the pieces' results.
template <class Term>
struct Pieces {
  using Value = typename Term::Value;
  Term term;
  const Value* partial;
  int64_t outputs;
  GRADUS_ANYWHERE Value none() const { return term.none(); }
  GRADUS_ANYWHERE Value at(int64_t output, int64_t i) const { return partial[i * outputs + output]; }
  GRADUS_ANYWHERE Value combine(const Value& a, const Value& b) const { return term.combine(a, b); }
  GRADUS_ANYWHERE void finish(int64_t output, const Value& value) const { term.finish(output, value); }
};

/// The sums of some hundred terms at most, each of them read by neighbouring outputs.
template <class Term>
void reduce_at_once(int64_t outputs, int64_t terms, const Term& term) {
  constexpr int64_t width = 4;  // of float64, what memory hands out at once
  Cut cut = make_cut(outputs, terms, false, width);
  cut.piece = terms;
  cut.pieces = 1;
  for_each_block(cut.tiles, ReduceBlocks<Term>{term, cut, nullptr});
}

/// `narrowest`: neighbouring outputs that share a block at least, as many as memory hands out at once.
template <class Term>
void reduce_terms(int64_t outputs, int64_t terms, bool along_terms, const Term& term, int64_t narrowest = 8) {
  using Value = typename Term::Value;
  if (outputs == 0) return;
  const Cut cut = make_cut(outputs, terms, along_terms, 32, narrowest);
  if (cut.pieces == 1) return for_each_block(cut.tiles, ReduceBlocks<Term>{term, cut, nullptr});
  const Storage scratch = Storage::allocate(static_cast<size_t>(cut.pieces * outputs) * sizeof(Value));
  auto* partial = static_cast<Value*>(scratch.data());
  for_each_block(cut.tiles * cut.pieces, ReduceBlocks<Term>{term, cut, partial});
  reduce_at_once(outputs, cut.pieces, Pieces<Term>{term, partial, outputs});
}

}  // namespace gradus::cuda
