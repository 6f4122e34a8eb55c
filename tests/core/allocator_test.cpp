#include "core/allocator.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string_view>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/kernels.h"
#include "core/tensor.h"

using namespace gradus;

TEST_CASE("freed memory is served again for the same size") {
  void* first = nullptr;
  {
    const Storage s = Storage::allocate(5000);
    first = s.data();
  }
  const size_t reserved = memory_statistics().reserved;
  const Storage again = Storage::allocate(5000);
  CHECK(again.data() == first);
  CHECK(memory_statistics().reserved == reserved);
}

TEST_CASE("every block is aligned to 64 bytes and large enough") {
  for (size_t bytes : {size_t{0}, size_t{1}, size_t{64}, size_t{65}, size_t{1024}, size_t{1025}, size_t{1152},
                       size_t{1153}, size_t{2048}, size_t{2049}, size_t{1000003}, size_t{1} << 24}) {
    CAPTURE(bytes);
    const Storage s = Storage::allocate(bytes);
    CHECK(reinterpret_cast<uintptr_t>(s.data()) % 64 == 0);
    CHECK(s.bytes() == bytes);
    std::fill_n(static_cast<unsigned char*>(s.data()), bytes, static_cast<unsigned char>(0xa5));  // ASan would object
  }
}

TEST_CASE("the last handle returns the memory") {
  const size_t before = memory_statistics().in_use;
  {
    Storage a = Storage::allocate(4096);
    CHECK(a.unique());
    const Storage b = a;
    CHECK_FALSE(a.unique());
    a = Storage();
    CHECK(b.unique());
    CHECK(memory_statistics().in_use == before + 4096);
  }
  CHECK(memory_statistics().in_use == before);
}

TEST_CASE("borrowed memory is not counted and not freed") {
  const Tensor owner = Tensor::from<float>({1, 2, 3, 4}, {4});
  const size_t before = memory_statistics().in_use;
  {
    const Tensor t(Storage::borrow(owner.raw(), 4 * sizeof(float)), 0, {4}, {1}, DType::float32);
    CHECK(t.to_vector<float>()[3] == 4);
    CHECK(memory_statistics().in_use == before);
  }
  CHECK(memory_statistics().in_use == before);
  CHECK(owner.to_vector<float>()[3] == 4);
}

TEST_CASE("cached memory can be given back") {
  { const Storage s = Storage::allocate(1 << 20); }
  release_cached_memory();
  CHECK(memory_statistics().reserved >= memory_statistics().in_use);
  CHECK(memory_statistics().reserved - memory_statistics().in_use == 0);
}

TEST_CASE("large blocks that are free serve any size together, and their pages can be given back") {
  constexpr size_t mib = size_t{1} << 20;
  if (!device::keeps_released(8 * mib)) {
    MESSAGE("skipped: freed blocks serve their own size only on ", device::describe());
    return;
  }
  std::vector<Storage> parts;
  for (const size_t size : {8 * mib, 11 * mib + 1, 5 * mib}) parts.push_back(Storage::allocate(size));
  auto* first = static_cast<char*>(parts[0].data());
  const auto* second = static_cast<char*>(parts[1].data());
  const size_t in_use = memory_statistics().in_use;
  const bool in_a_row = second == first + 8 * mib;
  CHECK(in_a_row);
  parts.erase(parts.begin() + 1);  // the outer ones stay
  const Storage left = Storage::allocate(4 * mib), right = Storage::allocate(7 * mib + 1);
  CHECK(left.data() == second);
  CHECK(right.data() == second + 4 * mib);
  CHECK(memory_statistics().in_use == in_use);
  first[0] = 1;
  parts.clear();
  release_cached_memory();
  const Storage again = Storage::allocate(8 * mib);
  CHECK(again.data() == first);
  CHECK(first[0] == 0);
}

TEST_CASE("sizes that change do not keep their memory for ever") {
  if (std::string_view(device::name()) != "cpu") return;  // a GPU's memory is not the process's
  constexpr size_t kib = 1024, mib = 1024 * kib, live = 64 * mib;
  const auto resident = [] {
    size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages >> pages;
    return pages * static_cast<size_t>(sysconf(_SC_PAGESIZE));
  };
  release_cached_memory();
  const size_t before = resident();
  for (const size_t size : {80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768}) {
    std::vector<Storage> blocks;
    for (size_t bytes = 0; bytes < live; bytes += size * kib) {
      blocks.push_back(Storage::allocate(size * kib));
      std::fill_n(static_cast<char*>(blocks.back().data()), size * kib, char{1});
    }
  }
  CHECK(resident() < before + 5 * live);  // not 14
  release_cached_memory();
  CHECK(resident() < before + live / 2);
}

TEST_CASE("an impossible request is an error of the device and leaves the counters alone") {
  const size_t before = memory_statistics().in_use;
  CHECK_THROWS_AS(Storage::allocate(size_t{1} << 60), Error);
  CHECK(memory_statistics().in_use == before);
}

TEST_CASE("threads may allocate and free at once") {
  const size_t before = memory_statistics().in_use;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([] {
      for (size_t i = 0; i < 2000; ++i) {
        const Storage a = Storage::allocate(i * 7 % 4000), b = a;
        *static_cast<char*>(a.data()) = 1;
      }
    });
  for (auto& t : threads) t.join();
  CHECK(memory_statistics().in_use == before);
}

TEST_CASE("what was allocated through an arena serves nobody else, and everybody when the arena is gone") {
  void* first = nullptr;
  Storage survivor;
  {
    MemoryArena arena;
    {
      const MemoryArena::Use use(arena);
      const Storage s = Storage::allocate(7000);
      first = s.data();
      survivor = Storage::allocate(9000);
    }
    const Storage other = Storage::allocate(7000);
    CHECK(other.data() != first);
    std::thread([&] { CHECK(Storage::allocate(7000).data() != first); }).join();
    const MemoryArena::Use use(arena);
    CHECK(Storage::allocate(7000).data() == first);
    MemoryArena inner;
    {
      const MemoryArena::Use nested(inner);
      CHECK(Storage::allocate(7000).data() != first);
    }
    CHECK(Storage::allocate(7000).data() == first);
  }
  CHECK(Storage::allocate(7000).data() == first);
  void* second = survivor.data();
  survivor = Storage();
  CHECK(Storage::allocate(9000).data() == second);
}

TEST_CASE("what is given back while memory is held serves nobody before the hold ends") {
  constexpr size_t bytes = 5000;
  const size_t before = memory_statistics().in_use;
  void* first = nullptr;
  Storage second;
  {
    const HeldMemory hold;
    {
      const Storage s = Storage::allocate(bytes);
      first = s.data();
    }
    second = Storage::allocate(bytes);
    CHECK(second.data() != first);
    const HeldMemory inner;
    second = Storage();
  }
  CHECK(memory_statistics().in_use == before);
  const Storage one = Storage::allocate(bytes), two = Storage::allocate(bytes);
  CHECK((one.data() == first || two.data() == first));
}
