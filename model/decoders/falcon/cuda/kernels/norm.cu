// LayerNorm with both ends of LoRA: r += sums of W2 + B2·u2;  x = norm(r);  u = A1·x.
//
// A cluster of 8 blocks works on a row; each block holds an eighth of the columns and of γA in
// shared memory, and the blocks read one another's sums. A1·x needs no second pass over x, since
//
//     A·norm(r) = rs · (Σ r·γA − mean · ΣγA) + ΣβA        γA, ΣγA, ΣβA come from banks.py
//
// u goes behind x, 64 columns for each set of W1: 32 of bank 0, 32 of bank 1, zero in the bank
// that the row does not use. u2 is what mixer.cu left in pieces; B2·u2 is ready before W2 ends,
// as W2 lets this kernel start only once the mixer is done. Every sum has one order whatever the
// batch is.
//
// `embed` begins a step: it looks a row's token up, either given or the slot's newest one, in the
// table's dense units (layout.py), which the head reads too.
#include <cooperative_groups.h>

#include "common.cuh"
namespace cg = cooperative_groups;

static constexpr int BLOCKS = 8, THREADS = 288, WARPS = THREADS / 32, U = 64, MAX_SLICE = 576;

struct NormArgs {
  float* r;                 // [row][hidden], fp32: the residual
  const float* sums;        // [parts][row][hidden], null: none to add
  const float *gamma, *beta;     // [hidden]
  const f16* ga[2];         // by bank, [64][hidden]: γ·A; null: no LoRA
  const float *sga[2], *sba[2];  // by bank, [64]: ΣγA, ΣβA
  const f16* b2[2];         // by bank, [hidden][64]: B of dense, then of dense_4h_to_h
  const float *ud, *uh;     // [row][groups][32], [chunks][row][32]: pieces of u2
  f16* x;                   // [row][ldx]
  const int* bank;          // [row], of the row's slot
  const int* pick;          // [row] which row of r to take; null: the same, and r is kept
  long part_stride, ldx;
  int parts, rows, all_rows, hidden, groups;
  float epsilon;
};

struct Shared {
  float value[MAX_SLICE];
  float piece[8][32], u2[64];
  float stat[WARPS][2], mine[2 + U];  // this block's sum, sum of squares and Σ r·γA
  float mean, scale;
};

// This thread's two columns of B2·u2.
__device__ __forceinline__ float2 lora2(const NormArgs& a, Shared& s, int row, int k, bool live) {
  const int tid = threadIdx.x, chunks = 4 * a.hidden / 256, bank = a.bank[row];
  uint4 b[2][8];
  if (live)
#pragma unroll
    for (int i = 0; i < 8; i++) {
      b[0][i] = __ldg((const uint4*)(a.b2[bank] + (long)k * U) + i);
      b[1][i] = __ldg((const uint4*)(a.b2[bank] + (long)(k + 1) * U) + i);
    }
  if (tid < 256) {
    const int each = (chunks + 7) / 8, c0 = (tid >> 5) * each, c1 = min(chunks, c0 + each);
    float v = 0.f;
#pragma unroll 9
    for (int c = c0; c < c1; c++) v += __ldcg(a.uh + ((long)c * a.all_rows + row) * 32 + (tid & 31));
    s.piece[tid >> 5][tid & 31] = v;
  } else {
    float v = 0.f;
#pragma unroll 5
    for (int i = 0; i < a.groups; i++) v += __ldcg(a.ud + ((long)row * a.groups + i) * 32 + tid - 256);
    s.u2[tid - 256] = v;
  }
  __syncthreads();
  if (tid < 32) {
    float v = 0.f;
    for (int i = 0; i < 8; i++) v += s.piece[i][tid];
    s.u2[32 + tid] = v;
  }
  __syncthreads();
  float2 sum = make_float2(0.f, 0.f);
  if (live)
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const __half2 *p = (const __half2*)&b[0][i], *q = (const __half2*)&b[1][i];
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const float u0 = s.u2[i * 8 + 2 * j], u1 = s.u2[i * 8 + 2 * j + 1];
        const float2 x = __half22float2(p[j]), y = __half22float2(q[j]);
        sum.x = fmaf(x.y, u1, fmaf(x.x, u0, sum.x));
        sum.y = fmaf(y.y, u1, fmaf(y.x, u0, sum.y));
      }
    }
  return sum;
}

// Σ r·γA over this block's columns, eight of 64 for each of eight warps.
__device__ __forceinline__ void folded(Shared& s, const f16* ga, int slice) {
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  if (warp >= 8) return;
  float sum[8] = {};
  for (int k = lane * 8; k < slice; k += 256) {
    const float4 lo = *(const float4*)&s.value[k], hi = *(const float4*)&s.value[k + 4];
#pragma unroll
    for (int j = 0; j < 8; j++) {
      const uint4 g = *(const uint4*)(ga + (warp * 8 + j) * slice + k);
      const __half2* p = (const __half2*)&g;
      const float2 p0 = __half22float2(p[0]), p1 = __half22float2(p[1]);
      const float2 p2 = __half22float2(p[2]), p3 = __half22float2(p[3]);
      float v = sum[j];
      v = fmaf(lo.x, p0.x, fmaf(lo.y, p0.y, fmaf(lo.z, p1.x, fmaf(lo.w, p1.y, v))));
      sum[j] = fmaf(hi.x, p2.x, fmaf(hi.y, p2.y, fmaf(hi.z, p3.x, fmaf(hi.w, p3.y, v))));
    }
  }
#pragma unroll
  for (int j = 0; j < 8; j++) {
    const float v = warp_sum(sum[j]);
    if (lane == 0) s.mine[2 + warp * 8 + j] = v;
  }
}

__global__ void __launch_bounds__(THREADS, 3) norm_kernel(const __grid_constant__ NormArgs a) {
  extern __shared__ __align__(128) f16 ga[];  // [64][slice]
  __shared__ Shared s;
  __shared__ __align__(8) uint64_t arrived;
  let_next_start();
  cg::cluster_group cluster = cg::this_cluster();
  const int part = cluster.block_rank(), tid = threadIdx.x, warp = tid >> 5, lane = tid & 31;
  const int slice = a.hidden / BLOCKS, k0 = part * slice, k = tid * 2;
  const uint32_t bar = shared_address(&arrived);
  const bool live = k < slice;
  if (tid == 0) barrier_init(bar, 1);
  barrier_fence();
  __syncthreads();
  int loaded = -1;
  uint32_t phase = 0;
  bool waited = false;

  for (int row = blockIdx.x / BLOCKS; row < a.rows; row += gridDim.x / BLOCKS) {
    const int from_row = a.pick ? a.pick[row] : row, bank = a.bank[from_row];
    const bool fetch = a.ga[0] && bank != loaded;
    if (fetch) {  // γA of the row's bank, usually before the sums are there
      loaded = bank;
      if (warp == 0) {
        if (lane == 0) barrier_expect(bar, U * slice * 2);
        __syncwarp();
        for (int j = lane; j < U; j += 32)
          bulk_copy(shared_address(ga + j * slice), a.ga[bank] + (long)j * a.hidden + k0, slice * 2, bar);
      }
    }
    float2 v = make_float2(0.f, 0.f), g = v, b = v;
    if (a.sums) v = lora2(a, s, from_row, k0 + k, live);
    if (live) {
      g = *(const float2*)(a.gamma + k0 + k);
      b = *(const float2*)(a.beta + k0 + k);
    }
    if (!waited) wait_for_previous();
    waited = true;
    if (live) {
      const long at = (long)from_row * a.hidden + k0 + k;
      const float2 r = __ldcg((const float2*)(a.r + at));
      if (a.sums) {
        float2 d = make_float2(0.f, 0.f);
#pragma unroll 20
        for (int i = 0; i < a.parts; i++) {
          const float2 w = __ldcg((const float2*)(a.sums + at + i * a.part_stride));
          d.x += w.x;
          d.y += w.y;
        }
        v.x += d.x + r.x;
        v.y += d.y + r.y;
        if (!a.pick) __stcg((float2*)(a.r + at), v);
      } else {
        v = r;
      }
      *(float2*)&s.value[k] = v;
    }
    const float sum = warp_sum(v.x + v.y), squares = warp_sum(fmaf(v.x, v.x, v.y * v.y));
    if (lane == 0) { s.stat[warp][0] = sum; s.stat[warp][1] = squares; }
    if (fetch) { barrier_wait(bar, phase); phase ^= 1; }
    __syncthreads();
    if (tid >= 256 && tid < 258) {
      float t = 0.f;
      for (int w = 0; w < WARPS; w++) t += s.stat[w][tid - 256];
      s.mine[tid - 256] = t;
    }
    if (a.ga[0]) folded(s, ga, slice);
    cluster.sync();

    auto total = [&](int i) {
      float t = 0.f;
#pragma unroll
      for (int o = 0; o < BLOCKS; o++) t += *cluster.map_shared_rank(&s.mine[i], o);
      return t;
    };
    const float mean = total(0) / a.hidden;
    const float scale = rsqrtf(fmaxf(fmaf(-mean, mean, total(1) / a.hidden), 0.f) + a.epsilon);
    if (live)
      *(__half2*)(a.x + row * a.ldx + k0 + k) =
          to_half2(fmaf((v.x - mean) * scale, g.x, b.x), fmaf((v.y - mean) * scale, g.y, b.y));
    if (a.ga[0] && tid < U / BLOCKS) {
      const int j = part * (U / BLOCKS) + tid;
      const float u = fmaf(scale, fmaf(-mean, a.sga[bank][j], total(2 + j)), a.sba[bank][j]);
      f16* to = a.x + row * a.ldx + a.hidden + (j >> 5) * 64 + (j & 31);
      to[bank * 32] = to_half(u);
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
  const int clusters = a->rows < 64 ? a->rows : 64;
  return launch(norm_kernel, dim3(clusters * BLOCKS), THREADS, U * a->hidden / BLOCKS * 2, BLOCKS, stream, *a);
}
int embed_rows(const uint8_t* table, const int* token, const int* slot, const int* newest, float* r,
               int hidden, int rows, cudaStream_t stream) {
  return launch(embed, dim3(rows), 256, 0, 1, stream, table, token, slot, newest, r, hidden);
}
}
