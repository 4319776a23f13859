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
// Blocks run one after the other, and each leaves the barriers as they were.
inline void synchronize_warpgroup(int barrier) {
  static std::vector<emulation::Meeting> barriers(16, {128});
  barriers[barrier].meet();
}
inline std::vector<emulation::Meeting>& turns() {
  static std::vector<emulation::Meeting> turns(2, {256});
  return turns;
}
inline void wait_for_turn(int warpgroup) { turns()[warpgroup].meet(); }
inline void give_turn(int warpgroup) { turns()[warpgroup].arrive(); }
template <int REGISTERS>
void reduce_registers() {}
template <int REGISTERS>
void raise_registers() {}
inline void start_products() {}
inline void commit_products() {}
template <int COLUMNS>
void finish_products(float (&)[COLUMNS / 8][4]) {}

// The 16 values of a row of the matrix that a descriptor says, K contiguous in chunks of eight; see the PTX ISA's matrix
// descriptors of wgmma.
struct MatrixRow {
  float values[16];
  MatrixRow(unsigned long long descriptor, int row) {
    const unsigned start = (descriptor & 0x3fff) << 4, along_k = (descriptor >> 16 & 0x3fff) << 4;
    const unsigned along_rows = (descriptor >> 32 & 0x3fff) << 4;
    const bool swizzled = descriptor >> 62 == 1;  // 128 bytes; the other modes are not used
    for (int chunk = 0; chunk < 2; ++chunk) {
      unsigned at = start + row / 8 * along_rows;
      if (swizzled) {
        at += row % 8 * 128 + chunk * 16;
        at ^= (at >> 7 & 7) << 4;
      } else {
        at += row % 8 * 16 + chunk * along_k;
      }
      if (at + 16 > emulation::SHARED_BYTES) emulation::fail("a matrix beyond shared memory");
      const std::uint16_t* const halves = emulation::place<std::uint16_t>(at);
      for (int k = 0; k < 8; ++k) values[8 * chunk + k] = from_half(halves[k]);
    }
  }
};

template <int COLUMNS>
void multiply_tiles(float (&sums)[COLUMNS / 8][4], unsigned long long a, unsigned long long b, bool add) {
  const int lane = threadIdx.x % 32, first_row = threadIdx.x / 32 % 4 * 16 + lane / 4;
  const MatrixRow weights[] = {{a, first_row}, {a, first_row + 8}};
  for (int j = 0; j < COLUMNS / 8; ++j) {
    for (int column = 0; column < 2; ++column) {
      const MatrixRow windows(b, 8 * j + lane % 4 * 2 + column);
      for (int row = 0; row < 2; ++row) {
        double sum = add ? sums[j][2 * row + column] : 0.0;
        for (int k = 0; k < 16; ++k) sum += static_cast<double>(weights[row].values[k]) * windows.values[k];
        sums[j][2 * row + column] = static_cast<float>(sum);
      }
    }
  }
}
