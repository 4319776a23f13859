// The rate of FP32 multiply-adds: nothing but them, from registers, on the whole chip. No convolution in strict FP32 is
// faster; workflow/harness/ceilings.py measures it and sets it beside the machine's other ceilings.

// Each thread has FFMA_CHAINS independent chains of dependent multiply-adds, enough to hide their latency, and does
// `rounds` * FFMA_STEPS of each. Their sum is never -1, which the compiler cannot know: so it keeps them, and nothing is
// written.
__global__ void ffma_rate(float* __restrict__ never, int rounds) {
  float chain[FFMA_CHAINS];
#pragma unroll
  for (int i = 0; i < FFMA_CHAINS; ++i) chain[i] = static_cast<float>(threadIdx.x + i);
  const float half = 0.5f + 1e-9f * static_cast<float>(blockIdx.x);
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (int step = 0; step < FFMA_STEPS; ++step) {
#pragma unroll
      for (int i = 0; i < FFMA_CHAINS; ++i) chain[i] = fmaf(chain[i], half, 1.0f);
    }
  }
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < FFMA_CHAINS; ++i) sum += chain[i];
  if (sum == -1.0f) *never = sum;
}
