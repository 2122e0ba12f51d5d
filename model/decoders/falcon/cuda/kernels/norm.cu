// LayerNorm with LoRA's A: r += sums of W2;  x = norm(r);  u = A·x for both sets of W1.
//
// A cluster of 8 blocks works on a group of rows; each block holds an eighth of the columns, in
// shared memory, and the blocks read one another's sums. x·A needs no second pass over x, since
//
//     A·norm(r) = rs · (Σ r·γA − mean · ΣγA) + ΣβA        γA, ΣγA, ΣβA come from banks.py
//
// u goes behind x, 64 columns for each set: 32 of bank 0, 32 of bank 1, zero in the bank that
// the row does not use. Every sum has one order whatever the batch is.
//
// `embed` begins a step: it looks a row's token up, either given or the slot's newest one, in the
// table's dense units (layout.py), which the head reads too.
#include <cooperative_groups.h>

#include "common.cuh"
namespace cg = cooperative_groups;

static constexpr int BLOCKS = 8, THREADS = 512, WARPS = THREADS / 32, U = 64;
static constexpr int MAX_SLICE = 576, VECTORS = (MAX_SLICE / 8 + 31) / 32;

struct NormArgs {
  float* r;                 // [row][hidden], fp32: the residual
  const float* sums;        // [parts][row][hidden], null: none to add
  const bf16 *gamma, *beta; // [hidden]
  const bf16* ga[2];        // by bank, [64][hidden]: γ·A; null: no LoRA
  const float *sga[2], *sba[2];  // by bank, [64]: ΣγA, ΣβA
  bf16* x;                  // [row][ldx]
  const int* bank;          // [row], of the row's slot
  const int* pick;          // [row] which row of r to take; null: the same, and r is kept
  long part_stride, ldx;
  int parts, rows, hidden;
  float epsilon;
};

template <int ROWS>
__global__ void __launch_bounds__(THREADS) norm(const __grid_constant__ NormArgs a) {
  __shared__ float value[ROWS][MAX_SLICE];
  __shared__ float stat[WARPS][ROWS][2];
  __shared__ float mine[ROWS][2 + U];  // this block's sum, sum of squares and Σ r·γA
  let_next_start();
  cg::cluster_group cluster = cg::this_cluster();
  const int part = cluster.block_rank(), row0 = (blockIdx.x / BLOCKS) * ROWS;
  const int tid = threadIdx.x, warp = tid >> 5, lane = tid & 31;
  const int slice = a.hidden / BLOCKS, k0 = part * slice, rows = min(ROWS, a.rows - row0);

  // γA of the first row's bank, before the residual is there.
  uint4 ga[U / WARPS][VECTORS];
  auto load = [&](int bank) {
#pragma unroll
    for (int j = 0; j < U / WARPS; j++)
#pragma unroll
      for (int i = 0; i < VECTORS; i++) {
        const int k = (i * 32 + lane) * 8;
        ga[j][i] = k < slice ? __ldg((const uint4*)(a.ga[bank] + (long)(warp * (U / WARPS) + j) *
                                                                     a.hidden + k0 + k))
                             : make_uint4(0, 0, 0, 0);
      }
  };
  int loaded = -1;
  if (a.ga[0]) load(loaded = a.bank[row0]);
  wait_for_previous();

#pragma unroll
  for (int m = 0; m < ROWS; m++) {
    float s = 0.f, q = 0.f;
    if (m < rows) {
      const long from = (long)(a.pick ? a.pick[row0 + m] : row0 + m) * a.hidden + k0;
      for (int k = tid * 2; k < slice; k += THREADS * 2) {
        float2 v = __ldcg((const float2*)(a.r + from + k));
        if (a.sums) {
          float2 d = make_float2(0.f, 0.f);
          const float* p = a.sums + from + k;
#pragma unroll 20
          for (int i = 0; i < a.parts; i++) {
            const float2 w = __ldcg((const float2*)(p + i * a.part_stride));
            d.x += w.x;
            d.y += w.y;
          }
          v.x += d.x;
          v.y += d.y;
          if (!a.pick) __stcg((float2*)(a.r + from + k), v);
        }
        value[m][k] = v.x;
        value[m][k + 1] = v.y;
        s += v.x + v.y;
        q = fmaf(v.x, v.x, fmaf(v.y, v.y, q));
      }
    }
    s = warp_sum(s);
    q = warp_sum(q);
    if (lane == 0) { stat[warp][m][0] = s; stat[warp][m][1] = q; }
  }
  __syncthreads();
  if (tid < ROWS * 2) {
    float v = 0.f;
    for (int w = 0; w < WARPS; w++) v += stat[w][tid >> 1][tid & 1];
    mine[tid >> 1][tid & 1] = v;
  }
  if (a.ga[0]) {
    for (int m = 0; m < rows; m++) {
      const int bank = a.bank[row0 + m];
      if (bank != loaded) load(loaded = bank);
#pragma unroll
      for (int j = 0; j < U / WARPS; j++) {
        float s = 0.f;
#pragma unroll
        for (int i = 0; i < VECTORS; i++) {
          const int k = (i * 32 + lane) * 8;
          if (k < slice) {
            const float4 lo = *(const float4*)&value[m][k], hi = *(const float4*)&value[m][k + 4];
            const __nv_bfloat162* p = (const __nv_bfloat162*)&ga[j][i];
            const float2 p0 = __bfloat1622float2(p[0]), p1 = __bfloat1622float2(p[1]);
            const float2 p2 = __bfloat1622float2(p[2]), p3 = __bfloat1622float2(p[3]);
            s = fmaf(lo.x, p0.x, fmaf(lo.y, p0.y, fmaf(lo.z, p1.x, fmaf(lo.w, p1.y, s))));
            s = fmaf(hi.x, p2.x, fmaf(hi.y, p2.y, fmaf(hi.z, p3.x, fmaf(hi.w, p3.y, s))));
          }
        }
        s = warp_sum(s);
        if (lane == 0) mine[m][2 + warp * (U / WARPS) + j] = s;
      }
    }
  }
  cluster.sync();

  auto total = [&](int m, int i) {
    float v = 0.f;
#pragma unroll
    for (int b = 0; b < BLOCKS; b++) v += *cluster.map_shared_rank(&mine[m][i], b);
    return v;
  };
  __shared__ float mean[ROWS], scale[ROWS];
  if (tid < rows) {
    const float mu = total(tid, 0) / a.hidden;
    mean[tid] = mu;
    scale[tid] = rsqrtf(fmaxf(fmaf(-mu, mu, total(tid, 1) / a.hidden), 0.f) + a.epsilon);
  }
  __syncthreads();
  if (a.ga[0] && tid < rows * (U / BLOCKS)) {
    const int m = tid / (U / BLOCKS), j = part * (U / BLOCKS) + tid % (U / BLOCKS);
    const int bank = a.bank[row0 + m];
    const float u = fmaf(scale[m], fmaf(-mean[m], a.sga[bank][j], total(m, 2 + j)), a.sba[bank][j]);
    bf16* to = a.x + (row0 + m) * a.ldx + a.hidden + (j >> 5) * 64 + (j & 31);
    to[bank * 32] = __float2bfloat16(u);
    to[32 - bank * 32] = __float2bfloat16(0.f);
  }
  for (int m = 0; m < rows; m++)
    for (int k = tid * 2; k < slice; k += THREADS * 2) {
      const float2 g = __bfloat1622float2(*(const __nv_bfloat162*)(a.gamma + k0 + k));
      const float2 b = __bfloat1622float2(*(const __nv_bfloat162*)(a.beta + k0 + k));
      *(__nv_bfloat162*)(a.x + (row0 + m) * a.ldx + k0 + k) =
          __floats2bfloat162_rn(fmaf((value[m][k] - mean[m]) * scale[m], g.x, b.x),
                                fmaf((value[m][k + 1] - mean[m]) * scale[m], g.y, b.y));
    }
  cluster.sync();  // nobody leaves while its sums are being read
}

__global__ void embed(const uint8_t* table, const int* token, const int* slot, const int* newest,
                      float* r, int hidden) {
  let_next_start();
  wait_for_previous();
  const int m = blockIdx.x;
  const long id = token[m] >= 0 ? token[m] : __ldcg(newest + slot[m]);
  const int half = id >> 4 & 1, h = id >> 3 & 1, g = id & 7;
  for (int k = threadIdx.x * 2; k < hidden; k += blockDim.x * 2) {
    const int t = k >> 4 & 3, s = k >> 2 & 3, j = k >> 1 & 1;
    const uint8_t* at = table + ((id >> 5) * (hidden / 64) + (k >> 6)) * 4096 +
                        ((s * 2 + half) * 32 + g * 4 + t) * 16 + (2 * j + h) * 4;
    *(float2*)(r + (long)m * hidden + k) = __bfloat1622float2(*(const __nv_bfloat162*)at);
  }
}

extern "C" {
int norm_args_bytes() { return sizeof(NormArgs); }
int layer_norm(const NormArgs* a, cudaStream_t stream) {
  if (a->rows <= 8)
    return launch(norm<1>, dim3(a->rows * BLOCKS), THREADS, 0, BLOCKS, stream, *a);
  return launch(norm<4>, dim3((a->rows + 3) / 4 * BLOCKS), THREADS, 0, BLOCKS, stream, *a);
}
int embed_rows(const uint8_t* table, const int* token, const int* slot, const int* newest, float* r,
               int hidden, int rows, cudaStream_t stream) {
  return launch(embed, dim3(rows), 256, 0, 1, stream, table, token, slot, newest, r, hidden);
}
}
