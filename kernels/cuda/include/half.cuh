// Instructions around FP16 values that CUDA C++ has no words for.
#pragma once

__device__ inline unsigned shared_address(const void* pointer) {
  return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

__device__ inline void store_shared(unsigned address, uint4 values) {
  asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(values.x), "r"(values.y), "r"(values.z),
               "r"(values.w)
               : "memory");
}

// Two FP16 values in one register, rounded to nearest.
__device__ inline unsigned pack(float first, float second) {
  unsigned packed;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(second), "f"(first));
  return packed;
}
__device__ inline float2 unpack(unsigned packed) {
  float2 values;
  asm("{\n.reg .b16 first, second;\nmov.b32 {first, second}, %2;\ncvt.f32.f16 %0, first;\ncvt.f32.f16 %1, second;\n}"
      : "=f"(values.x), "=f"(values.y)
      : "r"(packed));
  return values;
}

// The larger of two magnitudes, NaN if either is.
__device__ inline float max_magnitude(float a, float b) {
  float result;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(fabsf(a)), "f"(fabsf(b)));
  return result;
}
