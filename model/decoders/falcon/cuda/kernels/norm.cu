// LayerNorm with both ends of LoRA: r += sums of W2 + B2·u2;  x = norm(r);  u = A1·x.
//
// A cluster of 8 blocks works on a row, or on two at once; each block holds an eighth of the columns and of γA in
// shared memory, and the blocks read one another's sums. A1·x needs no second pass over x, since
//
//     A·norm(r) = rs · (Σ r·γA − mean · ΣγA) + ΣβA        γA, ΣγA, ΣβA come from banks.py
//
// u goes behind x, 64 columns for each set of W1: 32 of bank 0, 32 of bank 1, zero in the bank
// that the row does not use. u2 is what mixer.cu left in pieces; B2·u2 is ready before W2 ends,
// as W2 lets this kernel start only once the mixer is done. Every sum has one order whatever the
// batch is.
//
// Measured on an H200 for Falcon-7B: 6.6 µs for 1 row, 7.9 for 8, 30 for 64, all of it latency.
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
  const f16* b2[2];         // by bank, [8][hidden][8]: B of dense, then of dense_4h_to_h
  const float *ud, *uh;     // [row][groups][32], [chunks][row][32]: pieces of u2
  f16* x;                   // [row][ldx]
  const int* bank;          // [row], of the row's slot
  const int* pick;          // [row] which row of r to take; null: the same, and r is kept
  long part_stride, ldx;
  int parts, rows, all_rows, hidden, groups;
  float epsilon;
};

template <int R>
struct Shared {
  float value[R][MAX_SLICE];
  float piece[8][R][32], u2[R][64];
  float stat[WARPS][R][2], mine[R][2 + U];  // this block's sum, sum of squares and Σ r·γA
  float mean[R], scale[R];
};
// A group of rows: where each comes from, and its bank, -1 for a row that is not there.
template <int R>
struct Group {
  int from[R], bank[R];
};

// Σ over the pieces of u2, for every row of the group.
template <int R>
__device__ __forceinline__ void gather_u2(const NormArgs& a, Shared<R>& s, const Group<R>& w) {
  const int tid = threadIdx.x, chunks = 4 * a.hidden / 256;
#pragma unroll
  for (int m = 0; m < R; m++) {
    if (w.bank[m] < 0) continue;
    float v = 0.f;
    if (tid < 256) {
      const int each = (chunks + 7) / 8, c0 = (tid >> 5) * each, c1 = min(chunks, c0 + each);
#pragma unroll 9
      for (int c = c0; c < c1; c++)
        v += __ldcg(a.uh + ((long)c * a.all_rows + w.from[m]) * 32 + (tid & 31));
      s.piece[tid >> 5][m][tid & 31] = v;
    } else {
#pragma unroll 5
      for (int i = 0; i < a.groups; i++)
        v += __ldcg(a.ud + ((long)w.from[m] * a.groups + i) * 32 + tid - 256);
      s.u2[m][tid - 256] = v;
    }
  }
  __syncthreads();
  for (int i = tid; i < R * 32; i += THREADS) {
    float v = 0.f;
    for (int p = 0; p < 8; p++) v += s.piece[p][i >> 5][i & 31];
    s.u2[i >> 5][32 + (i & 31)] = v;
  }
  __syncthreads();
}

// This thread's two columns of B2·u2, added to v.
template <int R>
__device__ __forceinline__ void add_lora2(const NormArgs& a, Shared<R>& s, const Group<R>& w, int k,
                                          float2* v) {
  for (int bank = 0; bank < 2; bank++) {
    bool any = false;
#pragma unroll
    for (int m = 0; m < R; m++) any |= w.bank[m] == bank;
    if (!any) continue;
    const uint4* b = (const uint4*)a.b2[bank] + k;
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const uint4 b0 = __ldg(b + i * a.hidden), b1 = __ldg(b + i * a.hidden + 1);
      const __half2 *p = (const __half2*)&b0, *q = (const __half2*)&b1;
#pragma unroll
      for (int m = 0; m < R; m++) {
        if (w.bank[m] != bank) continue;
#pragma unroll
        for (int j = 0; j < 4; j++) {
          const float u0 = s.u2[m][i * 8 + 2 * j], u1 = s.u2[m][i * 8 + 2 * j + 1];
          const float2 x = __half22float2(p[j]), y = __half22float2(q[j]);
          v[m].x = fmaf(x.y, u1, fmaf(x.x, u0, v[m].x));
          v[m].y = fmaf(y.y, u1, fmaf(y.x, u0, v[m].y));
        }
      }
    }
  }
}

// Σ r·γA over this block's columns, eight of 64 for each of eight warps, for rows of one bank.
template <int R>
__device__ __forceinline__ void folded(Shared<R>& s, const f16* ga, int slice, const Group<R>& w,
                                       int bank) {
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  if (warp >= 8) return;
#pragma unroll
  for (int m = 0; m < R; m++) {
    if (w.bank[m] != bank) continue;
    float sum[8] = {};
    for (int k = lane * 8; k < slice; k += 256) {
      const float4 lo = *(const float4*)&s.value[m][k], hi = *(const float4*)&s.value[m][k + 4];
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
      if (lane == 0) s.mine[m][2 + warp * 8 + j] = v;
    }
  }
}

template <int R>
__global__ void __launch_bounds__(THREADS, R == 1 ? 3 : 2) norm_kernel(const __grid_constant__ NormArgs a) {
  extern __shared__ __align__(128) f16 ga[];  // [64][slice], of bank `loaded`
  __shared__ Shared<R> s;
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
  auto load = [&](int bank) {
    loaded = bank;
    if (warp == 0) {
      if (lane == 0) barrier_expect(bar, U * slice * 2);
      __syncwarp();
      for (int j = lane; j < U; j += 32)
        bulk_copy(shared_address(ga + j * slice), a.ga[bank] + (long)j * a.hidden + k0, slice * 2, bar);
    }
  };

  for (int row0 = blockIdx.x / BLOCKS * R; row0 < a.rows; row0 += gridDim.x / BLOCKS * R) {
    Group<R> w;
#pragma unroll
    for (int m = 0; m < R; m++) {
      const bool there = row0 + m < a.rows;
      w.from[m] = !there ? 0 : a.pick ? a.pick[row0 + m] : row0 + m;
      w.bank[m] = there ? a.bank[w.from[m]] : -1;
    }
    const bool fetch = a.ga[0] && w.bank[0] != loaded;
    if (fetch) load(w.bank[0]);  // usually before the sums are there
    float2 v[R], g = make_float2(0.f, 0.f), b = g;
#pragma unroll
    for (int m = 0; m < R; m++) v[m] = make_float2(0.f, 0.f);
    if (a.sums) {
      gather_u2<R>(a, s, w);
      if (live) add_lora2<R>(a, s, w, k0 + k, v);
    }
    if (live) {
      g = *(const float2*)(a.gamma + k0 + k);
      b = *(const float2*)(a.beta + k0 + k);
    }
    if (!waited) wait_for_previous();
    waited = true;
#pragma unroll
    for (int m = 0; m < R; m++) {
      if (live && w.bank[m] >= 0) {
        const long at = (long)w.from[m] * a.hidden + k0 + k;
        const float2 r = __ldcg((const float2*)(a.r + at));
        if (a.sums) {
          float2 d = make_float2(0.f, 0.f);
          const float* p = a.sums + at;
          if (a.parts == 20) {  // Falcon-7B's: all in flight together
            float2 t[20];
#pragma unroll
            for (int i = 0; i < 20; i++) t[i] = __ldcg((const float2*)(p + i * a.part_stride));
#pragma unroll
            for (int i = 0; i < 20; i++) { d.x += t[i].x; d.y += t[i].y; }
          } else {
            for (int i = 0; i < a.parts; i++) {
              const float2 t = __ldcg((const float2*)(p + i * a.part_stride));
              d.x += t.x;
              d.y += t.y;
            }
          }
          v[m].x += d.x + r.x;
          v[m].y += d.y + r.y;
          if (!a.pick) __stcg((float2*)(a.r + at), v[m]);
        } else {
          v[m] = r;
        }
        *(float2*)&s.value[m][k] = v[m];
      }
      const float sum = warp_sum(v[m].x + v[m].y);
      const float squares = warp_sum(fmaf(v[m].x, v[m].x, v[m].y * v[m].y));
      if (lane == 0) { s.stat[warp][m][0] = sum; s.stat[warp][m][1] = squares; }
    }
    if (fetch) { barrier_wait(bar, phase); phase ^= 1; }
    __syncthreads();
    if (tid >= 256 && tid < 256 + 2 * R) {
      const int m = (tid - 256) >> 1, i = tid & 1;
      float t = 0.f;
      for (int p = 0; p < WARPS; p++) t += s.stat[p][m][i];
      s.mine[m][i] = t;
    }
    if (a.ga[0]) {
      folded<R>(s, ga, slice, w, loaded);
      const int other = 1 - loaded;
      bool mixed = false;
#pragma unroll
      for (int m = 0; m < R; m++) mixed |= w.bank[m] == other;
      if (mixed) {  // while an adapter is being swapped
        __syncthreads();
        load(other);
        barrier_wait(bar, phase);
        phase ^= 1;
        folded<R>(s, ga, slice, w, other);
      }
    }
    cluster.sync();

    auto total = [&](int m, int i) {
      float t = 0.f;
#pragma unroll
      for (int o = 0; o < BLOCKS; o++) t += *cluster.map_shared_rank(&s.mine[m][i], o);
      return t;
    };
    if (tid < R) {
      const float mean = total(tid, 0) / a.hidden;
      s.mean[tid] = mean;
      s.scale[tid] = rsqrtf(fmaxf(fmaf(-mean, mean, total(tid, 1) / a.hidden), 0.f) + a.epsilon);
    }
    __syncthreads();
#pragma unroll
    for (int m = 0; m < R; m++) {
      if (w.bank[m] < 0) continue;
      const float mean = s.mean[m], scale = s.scale[m];
      f16* x = a.x + (row0 + m) * a.ldx;
      if (live)
        *(__half2*)(x + k0 + k) =
            to_half2(fmaf((v[m].x - mean) * scale, g.x, b.x), fmaf((v[m].y - mean) * scale, g.y, b.y));
    }
    if (a.ga[0] && tid < R * (U / BLOCKS)) {
      const int m = tid / (U / BLOCKS), j = part * (U / BLOCKS) + tid % (U / BLOCKS), row = row0 + m;
      if (row < a.rows) {
        const int bank = a.bank[a.pick ? a.pick[row] : row];
        const float t = fmaf(-s.mean[m], a.sga[bank][j], total(m, 2 + j));
        const float u = fmaf(s.scale[m], t, a.sba[bank][j]);
        f16* to = a.x + row * a.ldx + a.hidden + (j >> 5) * 64 + (j & 31);
        to[bank * 32] = to_half(u);
        to[32 - bank * 32] = to_half(0.f);
      }
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
  const int shared = U * a->hidden / BLOCKS * 2;
  if (a->rows <= 16)
    return launch(norm_kernel<1>, dim3(a->rows * BLOCKS), THREADS, shared, BLOCKS, stream, *a);
  const int clusters = a->rows < 64 ? (a->rows + 1) / 2 : 32;
  return launch(norm_kernel<2>, dim3(clusters * BLOCKS), THREADS, shared, BLOCKS, stream, *a);
}
int embed_rows(const uint8_t* table, const int* token, const int* slot, const int* newest, float* r,
               int hidden, int rows, cudaStream_t stream) {
  return launch(embed, dim3(rows), 256, 0, 1, stream, table, token, slot, newest, r, hidden);
}
}
