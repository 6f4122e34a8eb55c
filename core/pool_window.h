// The part of a pooling window that lies inside the input, along one dimension. Private to core.
#pragma once

#include <algorithm>
#include <cstdint>

namespace gradus {

struct WindowPart {
  WindowPart(int64_t position, int64_t stride, int64_t padding, int64_t kernel, int64_t extent)
      : begin(std::max<int64_t>(position * stride - padding, 0)),
        end(std::min(position * stride - padding + kernel, extent)) {}
  int64_t size() const { return std::max<int64_t>(end - begin, 0); }
  int64_t begin, end;
};

}  // namespace gradus
