// What the kernels share: asynchronous copies, barriers, the matrix instruction, launching.
//
// Numbers go into the matrix instruction as fp16, whose 11 bits round eight times finer than
// bf16's, and come out as fp32; what does not fit fp16 becomes its largest number, and what is not
// a number stays so. Hopper only (sm_90a). Nothing here knows Falcon.
#pragma once
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdint.h>

typedef __half f16;

__device__ __forceinline__ float fit(float v) { return v > 65504.f ? 65504.f : v < -65504.f ? -65504.f : v; }
__device__ __forceinline__ f16 to_half(float v) { return __float2half_rn(fit(v)); }
__device__ __forceinline__ __half2 to_half2(float a, float b) {
  return __floats2half2_rn(fit(a), fit(b));
}

__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return (uint32_t)__cvta_generic_to_shared(p);
}

// ---- mbarrier: a counter in shared memory that bulk copies complete on
__device__ __forceinline__ void barrier_init(uint32_t bar, int arrivals) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(bar), "r"(arrivals));
}
__device__ __forceinline__ void barrier_fence() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ __forceinline__ void barrier_expect(uint32_t bar, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(bar), "r"(bytes)
               : "memory");
}
__device__ __forceinline__ void barrier_wait(uint32_t bar, uint32_t phase) {
  asm volatile(
      "{\n.reg .pred p;\nAGAIN: mbarrier.try_wait.parity.shared.b64 p, [%0], %1;\n"
      "@p bra DONE;\nbra AGAIN;\nDONE:\n}" ::"r"(bar), "r"(phase) : "memory");
}
// Global to shared memory, 16-byte aligned, by the copy engine.
__device__ __forceinline__ void bulk_copy(uint32_t to, const void* from, uint32_t bytes,
                                          uint32_t bar) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(to), "l"(from), "r"(bytes), "r"(bar) : "memory");
}

// ---- programmatic dependent launch: a kernel may start before the one that it waits for ends
__device__ __forceinline__ void let_next_start() {
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}
__device__ __forceinline__ void wait_for_previous() {
  asm volatile("griddepcontrol.wait;" ::: "memory");
}

// ---- d[16x8] (+)= a[16x16] b[16x8], f16 in, fp32 out
__device__ __forceinline__ void mma(float* d, const uint32_t* a, uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void mma_first(float* d, const uint32_t* a, uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%10,%10,%10,%10};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(0.f));
}

// ---- shared memory by address
__device__ __forceinline__ uint4 shared_load16(uint32_t a) {
  uint4 v;
  asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3},[%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(a));
  return v;
}
__device__ __forceinline__ uint2 shared_load8(uint32_t a) {
  uint2 v;
  asm volatile("ld.shared.v2.u32 {%0,%1},[%2];" : "=r"(v.x), "=r"(v.y) : "r"(a));
  return v;
}

// The sum over a warp, the same in every lane and always added in the same order.
__device__ __forceinline__ float warp_sum(float v) {
#pragma unroll
  for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(~0u, v, o);
  return v;
}
// The dot product of eight f16 pairs packed in 16 bytes.
__device__ __forceinline__ float dot8(uint4 a, uint4 b, float s) {
  const __half2 *p = (const __half2*)&a, *q = (const __half2*)&b;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    float2 x = __half22float2(p[i]), y = __half22float2(q[i]);
    s = fmaf(x.x, y.x, s);
    s = fmaf(x.y, y.y, s);
  }
  return s;
}
__device__ __forceinline__ void prefetch(const void* p) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(p));
}

// Counters by which the blocks of a kernel tell those of later ones, started already, what is there:
// W1's sums, attention, activation, the pieces of u that both make, W2's sums. norm.cu sets all but
// the last to zero, which activation.cu does: each when nobody can still be waiting.
static constexpr int FIRST = 0, ATTENTION = 1, ACTIVATION = 2, PIECES = 3, SECOND = 4;
__device__ __forceinline__ void count_up(int* counter) {  // after the block's __syncthreads
  if (threadIdx.x == 0) {
    __threadfence();
    atomicAdd(counter, 1);
  }
}
// For the first warp of a block.
__device__ __forceinline__ void wait_for_count(const int* counter, int least) {
  int seen;
  do asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(seen) : "l"(counter) : "memory");
  while (seen < least);
}
// Until a kernel's `blocks` have counted, or, if it does not count, until the one before this ends.
__device__ __forceinline__ void wait_for_blocks(const int* counter, int blocks) {
  if (blocks) {
    if (threadIdx.x < 32) wait_for_count(counter, blocks);
    __syncthreads();
  } else {
    wait_for_previous();
  }
}
// What other threads wrote before, to the bulk copies that come.
__device__ __forceinline__ void fence_for_copies() {
  asm volatile("fence.proxy.async;" ::: "memory");
}

// Which blocks of a group are done: true in every thread of the last one to call.
__device__ __forceinline__ bool last_to_arrive(int* counter, int group) {
  __shared__ int last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(counter, 1) == group - 1;
    if (last) *counter = 0;
  }
  __syncthreads();
  if (last) __threadfence();
  return last;
}

// The 256-entry table from a byte of two codes to two fp16, once for each of 32 banks: entry b of
// a lane lies at b << SHIFT | lane * 4. With SHIFT 8 a byte's address is one byte permutation, at
// twice the memory. A lane holds one of the sixteen values and the others ask it.
__host__ __device__ constexpr int table_bytes(int shift) { return 256 << shift; }
// NF4's sixteen values (layout.py) in fp16, four in a word. Immediates: from constant memory each
// would be a miss of its own whenever a kernel starts.
__device__ __forceinline__ uint32_t nf4(int code) {
  const uint64_t low = code < 4 ? 0xB652B833B992BC00ull : 0x0000ADD4B1EAB48Dull;
  const uint64_t high = code < 12 ? 0x356833E031262D18ull : 0x3C0039C93880370Dull;
  return (uint32_t)((code < 8 ? low : high) >> (code & 3) * 16) & 0xFFFF;
}
template <int SHIFT>
__device__ __forceinline__ void build_table(uint8_t* table, int thread, int threads) {
  const uint32_t own = nf4(thread & 15);
  for (int i = thread; i < 2048; i += threads) {  // 2048 and threads are whole warps
    const int b = i >> 3;
    const uint32_t v = __shfl_sync(~0u, own, b & 15) | __shfl_sync(~0u, own, b >> 4) << 16;
    *(uint4*)(table + (b << SHIFT) + (i & 7) * 16) = make_uint4(v, v, v, v);
  }
}

// What byte i of a word of codes stands for.
template <int SHIFT>
__device__ __forceinline__ uint32_t look_up(const uint8_t* table, uint32_t word, int i, uint32_t lane4) {
  const uint32_t at = SHIFT == 8 ? __byte_perm(word, lane4, 0x5504 | i << 4)
                                 : ((i ? word >> (8 * i - 7) : word << 7) & 0x7F80u) | lane4;
  return *(const uint32_t*)(table + at);
}

// ---- host: launch with dependent launch, shared memory above 48 KB and clusters
template <typename F, typename... A>
static int launch(F kernel, dim3 grid, int threads, int shared, int cluster, cudaStream_t stream,
                  A... args) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared;
  config.stream = stream;
  cudaLaunchAttribute a[2];
  a[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  a[0].val.programmaticStreamSerializationAllowed = 1;
  a[1].id = cudaLaunchAttributeClusterDimension;
  a[1].val.clusterDim.x = cluster;
  a[1].val.clusterDim.y = 1;
  a[1].val.clusterDim.z = 1;
  config.attrs = a;
  config.numAttrs = cluster > 1 ? 2 : 1;
  // One division of a processor's memory for all: to change it, a processor must be idle, and then
  // no kernel starts before the one before it ends.
  cudaFuncSetAttribute((const void*)kernel, cudaFuncAttributePreferredSharedMemoryCarveout, 100);
  if (shared > 48000) {
    cudaError_t e = cudaFuncSetAttribute((const void*)kernel,
                                         cudaFuncAttributeMaxDynamicSharedMemorySize, shared);
    if (e != cudaSuccess) return (int)e;
  }
  if (cluster > 8) {
    cudaError_t e = cudaFuncSetAttribute((const void*)kernel,
                                         cudaFuncAttributeNonPortableClusterSizeAllowed, 1);
    if (e != cudaSuccess) return (int)e;
  }
  return (int)cudaLaunchKernelEx(&config, kernel, args...);
}
