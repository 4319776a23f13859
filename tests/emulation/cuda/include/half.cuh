// Stands in for kernels/cuda/include/half.cuh.
#pragma once
#include "cuda.h"

inline unsigned shared_address(const void* pointer) { return emulation::address(pointer); }
inline void store_shared(unsigned to, uint4 values) { *emulation::place<uint4>(to) = values; }

inline std::uint16_t to_half(float value) {
  const _Float16 half = static_cast<_Float16>(value);
  std::uint16_t bits;
  std::memcpy(&bits, &half, sizeof(bits));
  return bits;
}
inline float from_half(std::uint16_t bits) {
  _Float16 half;
  std::memcpy(&half, &bits, sizeof(half));
  float value = half;
  asm("" : "+m"(value));  // else g++ goes on to double at once, for which the processor has no instruction
  return value;
}
inline unsigned pack(float first, float second) { return to_half(first) | static_cast<unsigned>(to_half(second)) << 16; }
inline float2 unpack(unsigned packed) {
  return {from_half(static_cast<std::uint16_t>(packed)), from_half(static_cast<std::uint16_t>(packed >> 16))};
}
inline float max_magnitude(float a, float b) {
  return std::isnan(a) || std::isnan(b) ? NAN : std::max(std::fabs(a), std::fabs(b));
}
