// What becomes of a result before it is written: bias, residual, ReLU.
#pragma once

__device__ inline bool is_finite(float value) { return fabsf(value) <= 3.402823466e38f; }

struct Epilogue {
  const float* bias;      // one for each output channel, or none
  const float* residual;  // of Y's shape, or none
  int relu;

  __device__ bool is_identity() const { return bias == nullptr && residual == nullptr && relu == 0; }
  // `index` is the result's place in Y. A NaN stays one.
  __device__ float operator()(float result, int channel, long long index) const {
    if (bias != nullptr) result += __ldg(bias + channel);
    if (residual != nullptr) result += __ldg(residual + index);
    return relu != 0 && result < 0.0f ? 0.0f : result;
  }
  // Leaves what is not finite to the guard, which knows it by that.
  __device__ float of_finite(float result, int channel, long long index) const {
    return is_finite(result) ? (*this)(result, channel, index) : result;
  }
};
