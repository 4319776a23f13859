// Stand-in for kernels/cuda/include/prefetch.cuh.
#pragma once

// Reads it: what lies outside a tensor must not be asked for.
inline void prefetch(const float* from) { (void)*static_cast<const volatile float*>(from); }
