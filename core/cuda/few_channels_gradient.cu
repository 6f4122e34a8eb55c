// The gradients of the weight and of the bias of few input channels on the tensor cores, through ReLU.
#include <bit>

#include "core/cuda/few_channels.h"
#include "core/cuda/few_channels_windows.h"

namespace gradus::cuda {
namespace {

using namespace few_channels_parts;

/// 4 neighbouring channels: of float32 16 bytes, of bfloat16 8.
template <class T>
struct alignas(4 * sizeof(T)) [[gnu::may_alias]] Four {
  uint32_t words[sizeof(T)];
};

/// Gradients where y is positive, 0 elsewhere.
template <class T>
GRADUS_ANYWHERE inline uint32_t masked(uint32_t gradient, uint32_t y) {
  if constexpr (is_narrow<T>) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    uint32_t passes;
    asm("set.gt.u32.bf16x2 %0, %1, %2;" : "=r"(passes) : "r"(y), "r"(0));
    return gradient & passes;
#else
    const bool low = std::bit_cast<float>(y << 16) > 0, high = std::bit_cast<float>(y & 0xffff0000u) > 0;
    return gradient & ((low ? 0xffffu : 0) | (high ? 0xffff0000u : 0));
#endif
  } else {
    return std::bit_cast<float>(y) > 0 ? gradient : 0;
  }
}

/// Rows are output channels, columns are taps and, the last one, the bias; what is added up is pixels. A warp has 32
/// channels ("a unit"): lanes 4g to 4g + 3 hold channels 4g to 4g + 3 of it, as rows g and g + 8 of two products. A
/// block's warps stand in streams, one warp of each for every unit. Each stream goes through its own runs, and at the
/// end they are added in pairs.
template <class T, int ins>
struct GradientProducts {
  static constexpr bool by_warp = true;
  static constexpr int resident = 2;  // blocks of a multiprocessor: while some load, others multiply
  using Windows = ProductWindows<T, ins, is_narrow<T> ? Pairs::outputs : Pairs::none>;
  // Lanes read 8 words of each of 4 neighbouring columns: all 32 lie in banks of their own.
  using Memory = ColumnMemory<8, Windows::words>;
  static constexpr int unit = 32, halves = 2;                             // channels; products of a unit
  static constexpr int columns = (side * Windows::rows + 1 + 7) / 8 * 8;  // of the result
  static constexpr int products = columns / 8, in_planes = side * Memory::planes;
  static constexpr int runs_of_step = is_narrow<T> ? 2 : 1;  // 16 pixels or 8
  static constexpr int at_once = is_narrow<T> ? 4 : 2;       // runs whose loads a warp has under way
  static_assert(Memory::planes <= 1 && Memory::rest > 0);
  struct Shared {
    union {
      Memory windows;
      Quad sums[halves * products][warps_per_block / 2][warp_lanes];
    };
    Place places[most_product_slots];
  };
  struct Local {
    PerLane<Sums> sums[halves][products];
    PerLane<Quad> bias;  // of TF32: gradients are summed before they are rounded
  };
  struct Loaded {
    Four<T> gy[at_once][2], y[at_once][2];  // of pixels j and j + 4
  };
  struct Kept {
    Four<T> at[at_once][2];
  };
  Windows windows;
  int outs, units, slices, per_slice;  // output channels; units of them, and parts of these by blocks
  int streams, rounds;
  int slots, tiles;
  const char *gy, *y;  // y: may be null
  float* parts;        // [blocks / slices, 32 units, columns]

  GRADUS_ANYWHERE int phases() const { return 2 * tiles + 2 * rounds + 1; }
  GRADUS_ANYWHERE void operator()(int phase, int64_t block, int warp, Shared& shared, Local& local) const {
    const int64_t part = block / slices;
    const int stream = warp / per_slice, in_slice = warp - stream * per_slice;
    const int of_block = static_cast<int>(block - part * slices) * per_slice + in_slice;
    const bool works = stream < streams && of_block < units;
    if (phase == 0) clear(local);
    if (phase < 2 * tiles) {
      if (phase % 2 == 0) {
        const auto first = static_cast<uint32_t>((part * tiles + phase / 2) * slots);
        for_lanes(
            [&](int lane) { windows.stage(first, slots, warp * warp_lanes + lane, shared.windows, shared.places); });
      } else if (works) {
        accumulate(stream, of_block, shared, local);
        if (phase == 2 * tiles - 1 && y && !is_narrow<T>) add_bias(local);
      }
      return;
    }
    if (!works) return;
    const int step = phase - 2 * tiles, round = step / 2;
    if (round == rounds) {
      if (stream == 0) write(part, of_block, local);
      return;
    }
    const int active = (streams + (1 << round) - 1) >> round, kept = (active + 1) / 2;
    if (step % 2 == 0) {
      if (stream >= kept && stream < active) hand_over((stream - kept) * per_slice + in_slice, shared, local);
    } else {
      if (stream + kept < active) take_over(stream * per_slice + in_slice, shared, local);
    }
  }

  GRADUS_ANYWHERE static void clear(Local& local) {
    for_lanes([&](int lane) {
      local.bias[lane] = {};
      GRADUS_UNROLL
      for (int k = 0; k < halves * products; ++k) local.sums[k / products][k % products][lane] = {};
    });
  }

  GRADUS_ANYWHERE void accumulate(int stream, int of_block, const Shared& shared, Local& local) const {
    PerLane<Loaded> loaded;
    load(stream * at_once, of_block, shared, loaded);
    for (int slot = stream * at_once; slot < slots; slot += streams * at_once) {
      PerLane<Kept> kept;
      keep(loaded, kept, local);
      load(slot + streams * at_once, of_block, shared, loaded);  // while these are multiplied
      GRADUS_UNROLL
      for (int k = 0; k < at_once; k += runs_of_step)
        if (slot + k < slots) add_step(k, slot + k, kept, shared, local);
    }
  }

  GRADUS_ANYWHERE void load(int slot, int of_block, const Shared& shared, PerLane<Loaded>& to) const {
    for_lanes([&](int lane) {
      const int channel = of_block * unit + lane / 4 * 4;
      GRADUS_UNROLL
      for (int k = 0; k < at_once; ++k) {
        const Place place = slot + k < slots ? shared.places[slot + k] : Place{0, 0};
        GRADUS_UNROLL
        for (int h = 0; h < 2; ++h) {
          const int pixel = lane % 4 + 4 * h;
          const bool there = pixel < place.count && channel < outs;
          const int64_t from = (int64_t{place.pixel + pixel} * outs + channel) * int64_t{sizeof(T)};
          to[lane].gy[k][h] = there ? *reinterpret_cast<const Four<T>*>(gy + from) : Four<T>{};
          to[lane].y[k][h] = there && y ? *reinterpret_cast<const Four<T>*>(y + from) : Four<T>{};
        }
      }
    });
  }

  GRADUS_ANYWHERE void keep(const PerLane<Loaded>& from, PerLane<Kept>& to, Local& local) const {
    for_lanes([&](int lane) {
      GRADUS_UNROLL
      for (int k = 0; k < at_once; ++k) {
        GRADUS_UNROLL
        for (int h = 0; h < 2; ++h) {
          GRADUS_UNROLL
          for (int i = 0; i < static_cast<int>(sizeof(T)); ++i) {
            uint32_t word = from[lane].gy[k][h].words[i];
            if (y) word = masked<T>(word, from[lane].y[k][h].words[i]);
            if constexpr (!is_narrow<T>) {
              local.bias[lane].at[i] += std::bit_cast<float>(word);
              word = tf32_of(std::bit_cast<float>(word));
            }
            to[lane].at[k][h].words[i] = word;
          }
        }
      }
    });
  }

  /// Run k of those that were kept, and of bfloat16 the next one, times the windows of these slots.
  GRADUS_ANYWHERE void add_step(int k, int slot, const PerLane<Kept>& kept, const Shared& shared, Local& local) const {
    PerLane<Left> gradients[halves];
    for_lanes([&](int lane) {
      GRADUS_UNROLL
      for (int half = 0; half < halves; ++half) {
        Left& to = gradients[half][lane];
        if constexpr (is_narrow<T>) {
          GRADUS_UNROLL
          for (int r = 0; r < 2; ++r) {
            const uint32_t near = kept[lane].at[k + r][0].words[half], far = kept[lane].at[k + r][1].words[half];
            to.at[2 * r] = lower_halves(near, far), to.at[2 * r + 1] = upper_halves(near, far);
          }
        } else {
          const Four<T>(&pixels)[2] = kept[lane].at[k];
          to = {{pixels[0].words[2 * half], pixels[0].words[2 * half + 1], pixels[1].words[2 * half],
                 pixels[1].words[2 * half + 1]}};
        }
      }
    });
    GRADUS_UNROLL
    for (int product = 0; product < products; ++product) {
      PerLane<Right> inputs;
      for_lanes(
          [&](int lane) { inputs[lane] = inputs_of(product, lane / 4, slot * windows.columns + lane % 4, shared); });
      GRADUS_UNROLL
      for (int half = 0; half < halves; ++half) multiply<T>(local.sums[half][product], gradients[half], inputs);
    }
  }

  /// What the taps of a product's column g meet: `column` is the first tap's column, of the slot and pixel j.
  GRADUS_ANYWHERE Right inputs_of(int product, int g, int column, const Shared& shared) const {
    const int next = is_narrow<T> ? windows.columns : 4;  // the next run's same column, or pixel j + 4
    if (product < in_planes) {
      const uint32_t* const from = shared.windows.plane[0] + (column + product * windows.period) * 8 + g;
      return {{from[0], from[next * 8]}};
    }
    constexpr int rest = Memory::rest;
    const int number = (product - in_planes) * 8 + g;
    if (number < side * rest) {
      const uint32_t* const from =
          shared.windows.other + (column + number / rest * windows.period) * rest + number % rest;
      return {{from[0], from[next * rest]}};
    }
    const bool of_bias = product * 8 + g == columns - 1 && is_narrow<T>;
    const uint32_t ones = of_bias ? 0x3f803f80u : 0;
    return {{ones, ones}};
  }

  /// Adds the 4 lanes' sums of the bias, each as three numbers of 11 bits, to the last column.
  GRADUS_ANYWHERE static void add_bias(Local& local) {
    PerLane<Right> ones;
    for_lanes([&](int lane) { ones[lane] = {{lane / 4 == 7 ? std::bit_cast<uint32_t>(1.0f) : 0, 0}}; });
    GRADUS_UNROLL
    for (int number = 0; number < 3; ++number) {
      GRADUS_UNROLL
      for (int half = 0; half < halves; ++half) {
        PerLane<Left> summands;
        for_lanes([&](int lane) {
          summands[lane] = {};
          GRADUS_UNROLL
          for (int k = 0; k < 2; ++k) {
            float& sum = local.bias[lane].at[2 * half + k];
            const uint32_t upper = tf32_of(sum);
            sum -= std::bit_cast<float>(upper);
            summands[lane].at[k] = upper;
          }
        });
        multiply_tf32(local.sums[half][products - 1], summands, ones);
      }
    }
  }

  GRADUS_ANYWHERE static void hand_over(int place, Shared& shared, const Local& local) {
    for_lanes([&](int lane) {
      GRADUS_UNROLL
      for (int k = 0; k < halves * products; ++k) {
        const Sums& sums = local.sums[k / products][k % products][lane];
        shared.sums[k][place][lane] = {{sums.at[0], sums.at[1], sums.at[2], sums.at[3]}};
      }
    });
  }

  GRADUS_ANYWHERE static void take_over(int place, const Shared& shared, Local& local) {
    for_lanes([&](int lane) {
      GRADUS_UNROLL
      for (int k = 0; k < halves * products; ++k) {
        const Quad more = shared.sums[k][place][lane];
        GRADUS_UNROLL
        for (int i = 0; i < 4; ++i) local.sums[k / products][k % products][lane].at[i] += more.at[i];
      }
    });
  }

  GRADUS_ANYWHERE void write(int64_t part, int of_block, const Local& local) const {
    struct alignas(8) Two {
      float at[2];
    };
    for_lanes([&](int lane) {
      const int g = lane / 4, j = lane % 4;
      GRADUS_UNROLL
      for (int row = 0; row < 4; ++row) {
        const int64_t channel = (part * units + of_block) * unit + 4 * g + row;
        GRADUS_UNROLL
        for (int product = 0; product < products; ++product) {
          const float* const sums = local.sums[row / 2][product][lane].at + row % 2 * 2;
          *reinterpret_cast<Two*>(parts + channel * columns + product * 8 + 2 * j) = {{sums[0], sums[1]}};
        }
      }
    });
  }
};

/// Where the sums of parts [channels, columns] go.
struct ToParameters {
  int columns, outs, ins, planes, rest;  // of ColumnMemory
  Filters gw;
  Vector gbias;

  GRADUS_ANYWHERE void operator()(int64_t number, float sum) const {
    const int channel = static_cast<int>(number / columns),
              column = static_cast<int>(number - int64_t{channel} * columns);
    if (channel >= outs) return;
    if (column == columns - 1) {
      if (gbias.data) gbias.set(channel, static_cast<double>(sum));
      return;
    }
    int tap = column / 8, row = column % 8;
    if (const int other = column - 8 * side * planes; other >= 0) {
      if (other >= side * rest) return;
      tap = other / rest, row = 8 * planes + other % rest;
    }
    gw.set(channel, row % ins, row / ins, tap, sum);
  }
};

template <class T, int ins>
void gradient_products(const ConvOperands& o, const BeforeRelu& relu, const Conv2dSpec& spec, int64_t most_blocks) {
  using Kernel = GradientProducts<T, ins>;
  const auto windows = make_product_windows<typename Kernel::Windows>(make_runs<T>(o, spec));
  const int outs = static_cast<int>(o.w.shape()[0]);
  const int64_t units = divided_up(outs, Kernel::unit), slices = divided_up(units, warps_per_block);
  const int64_t per_slice = divided_up(units, slices), streams = warps_per_block / per_slice;
  const Division division = divide(windows.of.runs, windows.columns, most_blocks);
  const int64_t elements = units * Kernel::unit * Kernel::columns;
  const Storage scratch = Storage::allocate(static_cast<size_t>(division.blocks * elements) * sizeof(float));
  auto* const parts = static_cast<float*>(scratch.data());
  const bool masks = relu.y.defined();
  for_each_block(slices * division.blocks,
                 Kernel{.windows = windows,
                        .outs = outs,
                        .units = static_cast<int>(units),
                        .slices = static_cast<int>(slices),
                        .per_slice = static_cast<int>(per_slice),
                        .streams = static_cast<int>(streams),
                        .rounds = static_cast<int>(std::bit_width(static_cast<unsigned>(streams - 1))),
                        .slots = division.slots,
                        .tiles = division.tiles,
                        .gy = static_cast<const char*>(o.y.raw()),
                        .y = masks ? static_cast<const char*>(relu.y.raw()) : nullptr,
                        .parts = parts});
  add_parts(parts, division.blocks, elements,
            ToParameters{.columns = Kernel::columns,
                         .outs = outs,
                         .ins = ins,
                         .planes = Kernel::Memory::planes,
                         .rest = Kernel::Memory::rest,
                         .gw = Filters(o.w),
                         .gbias = Vector(masks ? relu.gbias : Tensor(), 0)});
}

}  // namespace

void few_channels_gradient(const ConvOperands& o, const BeforeRelu& relu, const Conv2dSpec& spec, int64_t most_blocks) {
  visit_products(o, [&]<class T, int ins>(T, std::integral_constant<int, ins>) {
    gradient_products<T, ins>(o, relu, spec, most_blocks);
  });
}

}  // namespace gradus::cuda
