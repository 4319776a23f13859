// Stands in for kernels/cuda/include/cluster.cuh.
#pragma once
#include "shared_memory.cuh"

inline int cluster_rank() { return emulation::rank; }
inline void sync_cluster() { emulation::cluster.meet(); }
inline SharedAddress in_block(int rank, SharedAddress place) {
  return place + (rank - emulation::rank) * emulation::SHARED_BYTES;
}
inline float read_cluster(SharedAddress from) { return *emulation::place<float>(from); }
