// LayerNorm with both ends of LoRA: r += sums of W2 + B2·u2;  x = norm(r);  u = A1·x.
//
// A cluster of 16 blocks works on a row; each block holds a sixteenth of the columns and of γA in
// shared memory, and the blocks read one another's sums. A1·x needs no second pass over x, since
//
//     A·norm(r) = rs · (Σ r·γA − mean · ΣγA) + ΣβA        γA, ΣγA, ΣβA come from banks.py
//
// u goes behind x, 64 columns for each set of W1: 32 of bank 0, 32 of bank 1, zero in the bank
// that the row does not use. u2 is what attention and the activation left in pieces; B2·u2 is ready
// before W2 ends, as W2 lets this kernel start only once all pieces are counted. Every sum has one
// order whatever the batch is.
//
// Measured on an H200 for Falcon-7B: 3.7 µs for 1 row, 5.6 for 8, 23 for 64, which read 0.4, 3 and
// 23 MB of sums: latency, and with 64 rows B2, which every row reads again from the cache.
//
// `embed` begins a step: it looks a row's token up, either given or the slot's newest one, in the
// table's dense units (layout.py), which the head reads too.
#include <cooperative_groups.h>

#include "common.cuh"
namespace cg = cooperative_groups;

static constexpr int BLOCKS = 16, THREADS = 256, WARPS = THREADS / 32, U = 64, MAX_SLICE = 288;
static constexpr int CLUSTERS = 28;

struct NormArgs {
  float* r;                 // [row][hidden], fp32: the residual
  const float* sums;        // [parts][row][hidden], null: none to add
  const float *gamma, *beta;     // [hidden]
  const f16* ga[2];         // by bank, [64][hidden]: γ·A; null: no LoRA
  const float *sga[2], *sba[2];  // by bank, [64]: ΣγA, ΣβA
  const f16* b2[2];         // by bank, [8][hidden][8]: B of dense, then of dense_4h_to_h
  const float *ud, *uh;     // [row][groups][32], [chunks][row][32]: pieces of u2
  f16* x;                   // [row][ldx]
  const int* bank;          // [row], of the row's slot
  int* ready;               // common.cuh
  const int* pick;          // [row] which row of r to take; null: the same, and r is kept
  long part_stride, ldx;
  int parts, rows, all_rows, hidden, groups;
  int second_blocks;        // of W2, which count SECOND up; 0: there are none
  float epsilon;
};

// Columns of a block: a multiple of 32, so that copies of γA are aligned.
__host__ __device__ constexpr int slice_of(int hidden) {
  return (hidden + BLOCKS * 32 - 1) / (BLOCKS * 32) * 32;
}

struct Shared {
  float value[MAX_SLICE];
  float piece[WARPS][32], u2[64];
  float stat[WARPS][2], mine[2 + U];  // this block's sum, sum of squares and Σ r·γA
  float mean, scale;
};

// What another block of the cluster has at an address of this one's. Volatile, since the compiler
// would keep all blocks' addresses in registers while it goes from row to row.
__device__ __forceinline__ float of_block(uint32_t address, int block) {
  uint32_t there;
  float v;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(block));
  asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(v) : "r"(there) : "memory");
  return v;
}

// The sum over all blocks of the cluster, in order.
__device__ __forceinline__ float total(const float* mine) {
  float t = 0.f;
#pragma unroll
  for (int o = 0; o < BLOCKS; o++) t += of_block(shared_address(mine), o);
  return t;
}

// Σ over the pieces of u2.
__device__ __forceinline__ void gather_u2(const NormArgs& a, Shared& s, int row) {
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, chunks = 4 * a.hidden / 256;
  const int each = (chunks + WARPS - 1) / WARPS, c0 = warp * each, c1 = min(chunks, c0 + each);
  float v = 0.f, d = 0.f;
#pragma unroll 9
  for (int c = c0; c < c1; c++) v += __ldcg(a.uh + ((long)c * a.all_rows + row) * 32 + lane);
  if (warp == WARPS - 1) {
#pragma unroll 5
    for (int i = 0; i < a.groups; i++) d += __ldcg(a.ud + ((long)row * a.groups + i) * 32 + lane);
    s.u2[lane] = d;
  }
  s.piece[warp][lane] = v;
  __syncthreads();
  if (warp == 0) {
    float u = 0.f;
#pragma unroll
    for (int p = 0; p < WARPS; p++) u += s.piece[p][lane];
    s.u2[32 + lane] = u;
  }
  __syncthreads();
}

// This thread's two columns of B2·u2.
__device__ __forceinline__ float2 lora2(const NormArgs& a, const Shared& s, int bank, int k) {
  float2 v = make_float2(0.f, 0.f);
  const uint4* b = (const uint4*)a.b2[bank] + k;
#pragma unroll
  for (int i = 0; i < 8; i++) {
    const uint4 b0 = __ldg(b + i * a.hidden), b1 = __ldg(b + i * a.hidden + 1);
    const __half2 *p = (const __half2*)&b0, *q = (const __half2*)&b1;
#pragma unroll
    for (int j = 0; j < 4; j++) {
      const float u0 = s.u2[i * 8 + 2 * j], u1 = s.u2[i * 8 + 2 * j + 1];
      const float2 x = __half22float2(p[j]), y = __half22float2(q[j]);
      v.x = fmaf(x.y, u1, fmaf(x.x, u0, v.x));
      v.y = fmaf(y.y, u1, fmaf(y.x, u0, v.y));
    }
  }
  return v;
}

// Two columns of W2's sums, the parts in order.
__device__ __forceinline__ float2 add_parts(const NormArgs& a, long at) {
  constexpr int USUAL = 20;  // Falcon-7B's: all in flight together
  const float* p = a.sums + at;
  float2 d = make_float2(0.f, 0.f);
  if (a.parts == USUAL) {
    float2 t[USUAL];
#pragma unroll
    for (int i = 0; i < USUAL; i++) t[i] = __ldcg((const float2*)(p + i * a.part_stride));
#pragma unroll
    for (int i = 0; i < USUAL; i++) { d.x += t[i].x; d.y += t[i].y; }
    return d;
  }
  for (int i = 0; i < a.parts; i++) {
    const float2 t = __ldcg((const float2*)(p + i * a.part_stride));
    d.x += t.x;
    d.y += t.y;
  }
  return d;
}

// Σ r·γA over this block's columns, eight of 64 for each of eight warps: eight lanes share a sum,
// so that their loads of γA are 128 bytes in a row.
__device__ __forceinline__ void folded(Shared& s, const f16* ga, int slice, int columns) {
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, c = lane & 7;
  const f16* row = ga + (warp * 8 + (lane >> 3)) * slice;
  float sum[2] = {};
#pragma unroll
  for (int i = 0; i < (MAX_SLICE + 63) / 64; i++) {
    const int k = i * 64 + c * 8;
    if (k >= columns) continue;
    const float4 lo = *(const float4*)&s.value[k], hi = *(const float4*)&s.value[k + 4];
#pragma unroll
    for (int j = 0; j < 2; j++) {
      const uint4 g = *(const uint4*)(row + j * 4 * slice + k);
      const __half2* p = (const __half2*)&g;
      const float2 p0 = __half22float2(p[0]), p1 = __half22float2(p[1]);
      const float2 p2 = __half22float2(p[2]), p3 = __half22float2(p[3]);
      float v = sum[j];
      v = fmaf(lo.x, p0.x, fmaf(lo.y, p0.y, fmaf(lo.z, p1.x, fmaf(lo.w, p1.y, v))));
      sum[j] = fmaf(hi.x, p2.x, fmaf(hi.y, p2.y, fmaf(hi.z, p3.x, fmaf(hi.w, p3.y, v))));
    }
  }
#pragma unroll
  for (int j = 0; j < 2; j++) {
#pragma unroll
    for (int o = 4; o; o >>= 1) sum[j] += __shfl_xor_sync(~0u, sum[j], o);
    if (c == 0) s.mine[2 + warp * 8 + j * 4 + (lane >> 3)] = sum[j];
  }
}

// B of W2 into the cache, lines of 8 columns in each of 8 strips, before u2 is known. With many rows
// the clusters would only fetch the same lines again and again.
__device__ __forceinline__ void prefetch_lora2(const NormArgs& a, int k0, int columns) {
  if (!a.sums || a.rows > 16) return;
  const f16* b = a.b2[a.bank[blockIdx.x / BLOCKS]] + (long)k0 * 8;
  for (int i = threadIdx.x; i < columns; i += THREADS)
    prefetch(b + ((long)(i & 7) * a.hidden + (i >> 3) * 8) * 8);
}

// 64 registers and 40 KB: it waits beside W2's blocks, and W1's wait beside it.
__global__ void __launch_bounds__(THREADS, 4) norm_kernel(const __grid_constant__ NormArgs a) {
  extern __shared__ __align__(128) f16 ga[];  // [64][slice], of bank `loaded`
  __shared__ Shared s;
  __shared__ __align__(8) uint64_t arrived;
  let_next_start();
  cg::cluster_group cluster = cg::this_cluster();
  const int part = cluster.block_rank(), tid = threadIdx.x, warp = tid >> 5, lane = tid & 31;
  const int slice = slice_of(a.hidden), k0 = part * slice, k = tid * 2;
  const int columns = max(0, min(slice, a.hidden - k0));
  const uint32_t bar = shared_address(&arrived);
  const bool live = k < columns;
  if (tid == 0) barrier_init(bar, 1);
  barrier_fence();
  __syncthreads();
  int loaded = -1;
  uint32_t phase = 0;
  bool waited = false;
  auto load = [&](int bank) {
    loaded = bank;
    if (warp > 0) return;
    if (lane == 0) barrier_expect(bar, U * columns * 2);
    __syncwarp();
    if (columns == 0) return;
    for (int j = lane; j < U; j += 32)
      bulk_copy(shared_address(ga + j * slice), a.ga[bank] + (long)j * a.hidden + k0, columns * 2, bar);
  };
  prefetch_lora2(a, k0, columns);

  for (int row = blockIdx.x / BLOCKS; row < a.rows; row += gridDim.x / BLOCKS) {
    const int from = a.pick ? a.pick[row] : row, bank = a.bank[from];
    const long at = (long)from * a.hidden + k0 + k;
    float2 v = make_float2(0.f, 0.f), r = v, g = v, b = v;
    if (a.sums) gather_u2(a, s, from);
    const bool fetch = a.ga[0] && bank != loaded;
    if (fetch) load(bank);  // usually before the sums are there
    if (live) {
      if (a.sums) {
        v = lora2(a, s, bank, k0 + k);
        r = __ldcg((const float2*)(a.r + at));
      }
      g = *(const float2*)(a.gamma + k0 + k);
      b = *(const float2*)(a.beta + k0 + k);
    }
    if (!waited) {
      wait_for_blocks(a.ready + SECOND, a.second_blocks);
      if (blockIdx.x == 0 && tid < SECOND) a.ready[tid] = 0;
    }
    waited = true;
    if (live) {
      if (a.sums) {
        const float2 d = add_parts(a, at);
        v.x += d.x + r.x;
        v.y += d.y + r.y;
        if (!a.pick) __stcg((float2*)(a.r + at), v);
      } else {
        v = __ldcg((const float2*)(a.r + at));
      }
      *(float2*)&s.value[k] = v;
    }
    const float sum = warp_sum(v.x + v.y), squares = warp_sum(fmaf(v.x, v.x, v.y * v.y));
    if (lane == 0) { s.stat[warp][0] = sum; s.stat[warp][1] = squares; }
    if (fetch) { barrier_wait(bar, phase); phase ^= 1; }
    __syncthreads();
    if (tid < 2) {
      float t = 0.f;
#pragma unroll
      for (int p = 0; p < WARPS; p++) t += s.stat[p][tid];
      s.mine[tid] = t;
    }
    if (a.ga[0]) folded(s, ga, slice, columns);
    cluster.sync();

    if (tid == 0) {
      const float mean = total(&s.mine[0]) / a.hidden;
      s.mean = mean;
      s.scale = rsqrtf(fmaxf(fmaf(-mean, mean, total(&s.mine[1]) / a.hidden), 0.f) + a.epsilon);
    }
    __syncthreads();
    const float mean = s.mean, scale = s.scale;
    f16* x = a.x + row * a.ldx;
    if (live)
      *(__half2*)(x + k0 + k) =
          to_half2(fmaf((v.x - mean) * scale, g.x, b.x), fmaf((v.y - mean) * scale, g.y, b.y));
    if (a.ga[0] && tid < U / BLOCKS) {
      const int j = part * (U / BLOCKS) + tid;
      const float t = fmaf(-mean, a.sga[bank][j], total(&s.mine[2 + j]));
      f16* to = x + a.hidden + (j >> 5) * 64 + (j & 31);
      to[bank * 32] = to_half(fmaf(scale, t, a.sba[bank][j]));
      to[32 - bank * 32] = to_half(0.f);
    }
    cluster.sync();  // nobody goes on while its sums are being read
  }
}

__global__ void embed(const uint8_t* table, const int* token, const int* slot, const int* newest,
                      float* r, int hidden) {
  wait_for_previous();
  let_next_start();
  const int m = blockIdx.x;
  const long id = token[m] >= 0 ? token[m] : __ldcg(newest + slot[m]);
  const int half = id >> 4 & 1, h = id >> 3 & 1, g = id & 7;
  for (int k = threadIdx.x * 2; k < hidden; k += blockDim.x * 2) {
    const int t = k >> 4 & 3, s = k >> 2 & 3, j = k >> 1 & 1;
    const uint8_t* at = table + ((id >> 5) * (hidden / 64) + (k >> 6)) * 4096 +
                        ((s * 2 + half) * 32 + g * 4 + t) * 16 + (2 * j + h) * 4;
    *(float2*)(r + (long)m * hidden + k) = __half22float2(*(const __half2*)at);
  }
}

extern "C" {
int norm_args_bytes() { return sizeof(NormArgs); }
int layer_norm(const NormArgs* a, cudaStream_t stream) {
  const int shared = U * slice_of(a->hidden) * 2;
  // So many clusters run at once; more would wait for a second turn.
  const int clusters = min(CLUSTERS, a->rows);
  return launch(norm_kernel, dim3(clusters * BLOCKS), THREADS, shared, BLOCKS, stream, *a);
}
int embed_rows(const uint8_t* table, const int* token, const int* slot, const int* newest, float* r,
               int hidden, int rows, cudaStream_t stream) {
  return launch(embed, dim3(rows), 256, 0, 1, stream, table, token, slot, newest, r, hidden);
}
}
