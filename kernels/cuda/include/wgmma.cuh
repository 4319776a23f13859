// Hopper's own instructions as functions: barriers in shared memory, bulk copies, warpgroup matrix products.
// PTX ISA, sections mbarrier, cp.async.bulk, wgmma and setmaxnreg (sm_90a only).
#pragma once
#include "half.cuh"

// A barrier in shared memory that counts arrivals of threads and bytes of copies, phase after phase.
class Barrier {
 public:
  __device__ void initialize(int arrivals) {
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(shared_address(&state_)), "r"(arrivals) : "memory");
  }
  __device__ void arrive() {
    asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(shared_address(&state_)) : "memory");
  }
  // Arrives, and lets the phase wait for that many bytes of copies too.
  __device__ void arrive_and_expect(int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(shared_address(&state_)), "r"(bytes)
                 : "memory");
  }
  // Waits until the phase of this parity is over; a new barrier is in phase 0, and the one before it counts as over.
  __device__ void wait(unsigned parity) {
    asm volatile(
        "{\n.reg .pred done;\n"
        "retry:\n"
        "mbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n"
        "@done bra over;\n"
        "bra retry;\n"
        "over:\n}" ::"r"(shared_address(&state_)),
        "r"(parity)
        : "memory");
  }
  // Copies `bytes` (a multiple of 16, aligned so) to shared memory in the background and reports them here.
  __device__ void copy(void* shared, const void* global, int bytes) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                     shared_address(shared)),
                 "l"(global), "r"(bytes), "r"(shared_address(&state_))
                 : "memory");
  }

 private:
  unsigned long long state_;
};

// Makes this thread's writes to shared memory visible to matrix products and bulk copies.
__device__ inline void fence_shared_writes() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
__device__ inline void fence_barriers() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

// Waits for all threads of this warpgroup. Barrier 0 is __syncthreads()'s; each warpgroup that meets has one of its own.
__device__ inline void synchronize_warpgroup(int barrier) {
  asm volatile("bar.sync %0, 128;" ::"r"(barrier) : "memory");
}

// Two warpgroups take turns: what one does between is in nobody's way while the other has the turn.
constexpr int FIRST_TURN = 8;
__device__ inline void wait_for_turn(int warpgroup) {
  asm volatile("bar.sync %0, 256;" ::"r"(FIRST_TURN + warpgroup) : "memory");
}
__device__ inline void give_turn(int warpgroup) {
  asm volatile("bar.arrive %0, 256;" ::"r"(FIRST_TURN + warpgroup) : "memory");
}

// The registers of each thread of this warpgroup from here on; all of the block's must fit into the multiprocessor.
template <int REGISTERS>
__device__ inline void reduce_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}
template <int REGISTERS>
__device__ inline void raise_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

__device__ inline void start_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
// The products since start_products() are all; they go on in the background.
__device__ inline void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Waits for this warpgroup's products; until then their sums must not be touched.
template <int COLUMNS>
__device__ inline void finish_products(float (&sums)[COLUMNS / 8][4]) {
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
  // Tells the compiler that the sums change here and not before.
#pragma unroll
  for (int j = 0; j < COLUMNS / 8; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) asm volatile("" : "+f"(sums[j][i])::"memory");
  }
}

// sums = a * b (+ sums if `add`): 64 rows of a, COLUMNS rows of b, 16 of K, FP16 products, FP32 sums.
template <int COLUMNS>
__device__ void multiply_tiles(float (&sums)[COLUMNS / 8][4], unsigned long long a, unsigned long long b, bool add);

// The instruction names each of its COLUMNS / 2 registers, so each width is written out.
#define SUMS(j) "+f"(sums[j][0]), "+f"(sums[j][1]), "+f"(sums[j][2]), "+f"(sums[j][3])
#define REGISTERS_56 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19" \
  ", %20, %21, %22, %23, %24, %25, %26, %27"
#define SUMS_56 SUMS(0), SUMS(1), SUMS(2), SUMS(3), SUMS(4), SUMS(5), SUMS(6)
#define REGISTERS_64 REGISTERS_56 ", %28, %29, %30, %31"
#define SUMS_64 SUMS_56, SUMS(7)
#define REGISTERS_72 REGISTERS_64 ", %32, %33, %34, %35"
#define SUMS_72 SUMS_64, SUMS(8)
#define REGISTERS_80 REGISTERS_72 ", %36, %37, %38, %39"
#define SUMS_80 SUMS_72, SUMS(9)
#define REGISTERS_88 REGISTERS_80 ", %40, %41, %42, %43"
#define SUMS_88 SUMS_80, SUMS(10)
#define REGISTERS_96 REGISTERS_88 ", %44, %45, %46, %47"
#define SUMS_96 SUMS_88, SUMS(11)
#define REGISTERS_104 REGISTERS_96 ", %48, %49, %50, %51"
#define SUMS_104 SUMS_96, SUMS(12)
#define REGISTERS_112 REGISTERS_104 ", %52, %53, %54, %55"
#define SUMS_112 SUMS_104, SUMS(13)
#define REGISTERS_120 REGISTERS_112 ", %56, %57, %58, %59"
#define SUMS_120 SUMS_112, SUMS(14)
#define REGISTERS_128 REGISTERS_120 ", %60, %61, %62, %63"
#define SUMS_128 SUMS_120, SUMS(15)
#define REGISTERS_144 REGISTERS_128 ", %64, %65, %66, %67, %68, %69, %70, %71"
#define SUMS_144 SUMS_128, SUMS(16), SUMS(17)
#define REGISTERS_152 REGISTERS_144 ", %72, %73, %74, %75"
#define SUMS_152 SUMS_144, SUMS(18)
#define REGISTERS_160 REGISTERS_152 ", %76, %77, %78, %79"
#define SUMS_160 SUMS_152, SUMS(19)
#define REGISTERS_184 REGISTERS_160 ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91"
#define SUMS_184 SUMS_160, SUMS(20), SUMS(21), SUMS(22)
#define REGISTERS_192 REGISTERS_184 ", %92, %93, %94, %95"
#define SUMS_192 SUMS_184, SUMS(23)
#define DEFINE_MULTIPLY_TILES(COLUMNS, A, B, ADD)                                                              \
  template <>                                                                                                 \
  __device__ inline void multiply_tiles<COLUMNS>(float (&sums)[COLUMNS / 8][4], unsigned long long a,         \
                                                 unsigned long long b, bool add) {                            \
    asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, " ADD ", 0;\n"                                        \
                 "wgmma.mma_async.sync.aligned.m64n" #COLUMNS "k16.f32.f16.f16 {" REGISTERS_##COLUMNS "}, " A \
                 ", " B ", add, 1, 1, 0, 0;\n}"                                                               \
                 : SUMS_##COLUMNS                                                                             \
                 : "l"(a), "l"(b), "r"(static_cast<int>(add)));                                               \
  }
DEFINE_MULTIPLY_TILES(56, "%28", "%29", "%30")
DEFINE_MULTIPLY_TILES(64, "%32", "%33", "%34")
DEFINE_MULTIPLY_TILES(72, "%36", "%37", "%38")
DEFINE_MULTIPLY_TILES(80, "%40", "%41", "%42")
DEFINE_MULTIPLY_TILES(88, "%44", "%45", "%46")
DEFINE_MULTIPLY_TILES(96, "%48", "%49", "%50")
DEFINE_MULTIPLY_TILES(104, "%52", "%53", "%54")
DEFINE_MULTIPLY_TILES(112, "%56", "%57", "%58")
DEFINE_MULTIPLY_TILES(120, "%60", "%61", "%62")
DEFINE_MULTIPLY_TILES(128, "%64", "%65", "%66")
DEFINE_MULTIPLY_TILES(144, "%72", "%73", "%74")
DEFINE_MULTIPLY_TILES(152, "%76", "%77", "%78")
DEFINE_MULTIPLY_TILES(160, "%80", "%81", "%82")
DEFINE_MULTIPLY_TILES(184, "%92", "%93", "%94")
DEFINE_MULTIPLY_TILES(192, "%96", "%97", "%98")
