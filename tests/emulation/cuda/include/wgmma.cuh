// Stands in for kernels/cuda/include/wgmma.cuh. Matrix products follow the PTX ISA's descriptors and fragments; their sums are
// rounded, not truncated. Copies in the background are done when somebody waits for them.
#pragma once
#include "half.cuh"

class Barrier {
 public:
  void initialize(int arrivals) { *this = Barrier(), expected_ = missing_ = static_cast<std::int16_t>(arrivals); }
  void arrive() { change(1, 0); }
  void arrive_and_expect(int bytes) { change(1, bytes); }
  void wait(unsigned parity) {
    emulation::wait_until([&] {
      finish_copies();
      return phase_ % 2 != parity;
    });
  }
  void copy(void* shared, const void* global, int bytes) {
    if (bytes % 16 != 0 || emulation::address(shared) % 16 != 0) emulation::fail("a misaligned bulk copy");
    copies().push_back({this, {shared, global, static_cast<std::size_t>(bytes)}});
  }

 private:
  static std::vector<std::pair<Barrier*, emulation::Copy>>& copies() {
    static std::vector<std::pair<Barrier*, emulation::Copy>> copies;
    return copies;
  }
  void finish_copies() {
    for (auto& [barrier, copy] : copies()) {
      if (barrier != this) continue;
      std::memcpy(copy.to, copy.from, copy.bytes);
      change(0, -static_cast<int>(copy.bytes));
      barrier = nullptr;
    }
    std::erase_if(copies(), [](const auto& copy) { return copy.first == nullptr; });
  }
  void change(int arrivals, int bytes) {
    missing_ = static_cast<std::int16_t>(missing_ - arrivals), units_ = static_cast<std::int16_t>(units_ + bytes / 16);
    if (missing_ < 0) emulation::fail("more arrivals at a barrier than it counts");
    if (missing_ == 0 && units_ == 0) ++phase_, missing_ = expected_;
  }
  // As large as on the device.
  std::int16_t expected_ = 0, missing_ = 0, units_ = 0;
  std::uint16_t phase_ = 0;
};

inline void fence_shared_writes() {}
inline void fence_barriers() {}
template <int REGISTERS>
void reduce_registers() {}
template <int REGISTERS>
void raise_registers() {}
inline void start_products() {}
template <int COLUMNS>
void finish_products(float (&)[COLUMNS / 8][4]) {}

// Element (row, k) of the matrix that a descriptor says; see the PTX ISA's matrix descriptors of wgmma.
inline float element(unsigned long long descriptor, int row, int k) {
  const unsigned start = (descriptor & 0x3fff) << 4, along_k = (descriptor >> 16 & 0x3fff) << 4;
  const unsigned along_rows = (descriptor >> 32 & 0x3fff) << 4;
  const bool swizzled = descriptor >> 62 == 1;  // 128 bytes; the other modes are not used
  unsigned at = start + row / 8 * along_rows;
  if (swizzled) {
    at += row % 8 * 128 + k * 2;
    at ^= (at >> 7 & 7) << 4;
  } else {
    at += row % 8 * 16 + k / 8 * along_k + k % 8 * 2;
  }
  if (at + 2 > emulation::SHARED_BYTES) emulation::fail("a matrix beyond shared memory");
  return from_half(*emulation::place<std::uint16_t>(at));
}

template <int COLUMNS>
void multiply_tiles(float (&sums)[COLUMNS / 8][4], unsigned long long a, unsigned long long b, bool add) {
  const int lane = threadIdx.x % 32, first_row = threadIdx.x / 32 % 4 * 16 + lane / 4;
  for (int i = 0; i < 4; ++i) {
    float weights[16];
    for (int k = 0; k < 16; ++k) weights[k] = element(a, first_row + i / 2 * 8, k);
    for (int j = 0; j < COLUMNS / 8; ++j) {
      double sum = add ? sums[j][i] : 0.0;
      for (int k = 0; k < 16; ++k) sum += static_cast<double>(weights[k]) * element(b, 8 * j + lane % 4 * 2 + i % 2, k);
      sums[j][i] = static_cast<float>(sum);
    }
  }
}
