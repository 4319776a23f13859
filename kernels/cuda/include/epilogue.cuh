// What becomes of a result before it is written: bias, residual, ReLU.
#pragma once

__device__ inline bool is_finite(float value) { return fabsf(value) <= 3.402823466e38f; }

struct Epilogue {
  const float* bias;      // one for each output channel, or none
  const float* residual;  // of Y's shape, or none
  int relu;

  __device__ bool is_identity() const { return bias == nullptr && !has_more(); }
  // A channel's bias.
  __device__ float bias_of(int channel) const { return bias == nullptr ? 0.0f : __ldg(bias + channel); }
  // Whether anything follows the bias.
  __device__ bool has_more() const { return residual != nullptr || relu != 0; }
  // What follows it; `added` is the residual there. A NaN stays one, by which the guard knows what to compute again.
  __device__ float after(float sum, float added) const {
    if (residual != nullptr) sum += added;
    return relu != 0 && sum < 0.0f ? 0.0f : sum;
  }
  __device__ float residual_at(long long index) const { return residual == nullptr ? 0.0f : __ldg(residual + index); }
  // All of it; `index` is the result's place in Y.
  __device__ float operator()(float result, int channel, long long index) const {
    if (bias != nullptr) result += __ldg(bias + channel);
    return after(result, residual_at(index));
  }
};
