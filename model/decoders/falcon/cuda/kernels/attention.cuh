// Attention of one row and 16 query heads over 512 tokens of its slot, and A·o of dense.
//
// The heads of a group are the 16 rows of the matrix instruction; each of 8 warps takes 64 tokens.
// Keys lie [token][64], values [64][token], and tokens are permuted so that every operand is two
// 16-byte loads: column g of tile nt is token 16·(g/2) + 2·nt + g%2 of the warp's 64.
//
// More than 512 tokens are shared by several blocks; the last to finish adds them up in order
// (split-KV). The pieces of u that the groups make are added up in norm.cu.
#pragma once
#include "mixer.cuh"

struct AttentionShared {
  float out[8][GROUP * HEAD];   // by warp, not yet divided
  float top[8][GROUP], sum[8][GROUP];
  __align__(16) f16 q[GROUP * HEAD];
};

__device__ __forceinline__ void load_queries(const MixerArgs& a, AttentionShared& s, int row,
                                             int group) {
  const int pos = a.pos[row];
  for (int i = threadIdx.x; i < GROUP * 32; i += 256) {
    const int h = i >> 5, d = i & 31, head = group * GROUP + h;
    float2 q = make_float2(0.f, 0.f);
    if (head < a.heads) {
      const float* y = a.y + row * a.ldy + head * HEAD + d;
      q = rotate(gather(y, a.parts, a.part_stride), gather(y + 32, a.parts, a.part_stride),
                 a.rope[pos * 32 + d]);
    }
    s.q[h * HEAD + d] = to_half(q.x * 0.125f);
    s.q[h * HEAD + d + 32] = to_half(q.y * 0.125f);
  }
}

// One warp: 16 heads over tokens [from, from + 64), of which those up to `pos` count.
__device__ __forceinline__ void attend(const MixerArgs& a, AttentionShared& s, int slot, int pos,
                                       int from) {
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
  float top[2] = {-1e30f, -1e30f}, sum[2] = {0.f, 0.f}, out[8][4] = {};
  if (from <= pos) {
    uint4 key[8][2], value[8][2];  // each all on their way before the first is used
    const f16* k = a.keys + ((long)slot * a.context + from) * HEAD + 16 * t;
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const uint4* p = (const uint4*)(k + (16 * (g >> 1) + 2 * i + (g & 1)) * HEAD);
      key[i][0] = p[0];
      key[i][1] = p[1];
    }
    uint32_t q[4][4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const uint32_t *p0 = (const uint32_t*)(s.q + g * HEAD + 16 * t + 4 * i),
                     *p1 = (const uint32_t*)(s.q + (g + 8) * HEAD + 16 * t + 4 * i);
      q[i][0] = p0[0]; q[i][1] = p1[0]; q[i][2] = p0[1]; q[i][3] = p1[1];
    }
    float score[8][4];
#pragma unroll
    for (int nt = 0; nt < 8; nt++) {
      const uint4 lo = key[nt][0], hi = key[nt][1];
      mma_first(score[nt], q[0], lo.x, lo.y);
      mma(score[nt], q[1], lo.z, lo.w);
      mma(score[nt], q[2], hi.x, hi.y);
      mma(score[nt], q[3], hi.z, hi.w);
    }
    const f16* v = a.values + ((long)slot * HEAD + g) * a.context + from + 16 * t;
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const uint4* p = (const uint4*)(v + (long)i * 8 * a.context);
      value[i][0] = p[0];
      value[i][1] = p[1];
    }
#pragma unroll
    for (int nt = 0; nt < 8; nt++)
#pragma unroll
      for (int e = 0; e < 2; e++) {
        if (from + 16 * t + 2 * nt + e > pos) score[nt][e] = score[nt][2 + e] = -1e30f;
        top[0] = fmaxf(top[0], score[nt][e]);
        top[1] = fmaxf(top[1], score[nt][2 + e]);
      }
#pragma unroll
    for (int i = 0; i < 2; i++) {
      top[i] = fmaxf(top[i], __shfl_xor_sync(~0u, top[i], 1));
      top[i] = fmaxf(top[i], __shfl_xor_sync(~0u, top[i], 2));
    }
    uint32_t p[4][4];
#pragma unroll
    for (int nt = 0; nt < 8; nt++) {
      const __half2 lo = to_half2(__expf(score[nt][0] - top[0]),
                                                      __expf(score[nt][1] - top[0]));
      const __half2 hi = to_half2(__expf(score[nt][2] - top[1]),
                                                      __expf(score[nt][3] - top[1]));
      sum[0] += __low2float(lo) + __high2float(lo);
      sum[1] += __low2float(hi) + __high2float(hi);
      p[nt >> 1][(nt & 1) * 2] = *(const uint32_t*)&lo;
      p[nt >> 1][(nt & 1) * 2 + 1] = *(const uint32_t*)&hi;
    }
#pragma unroll
    for (int d = 0; d < 8; d++) {
      const uint4 lo = value[d][0], hi = value[d][1];
      mma(out[d], p[0], lo.x, lo.y);
      mma(out[d], p[1], lo.z, lo.w);
      mma(out[d], p[2], hi.x, hi.y);
      mma(out[d], p[3], hi.z, hi.w);
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
      sum[i] += __shfl_xor_sync(~0u, sum[i], 1);
      sum[i] += __shfl_xor_sync(~0u, sum[i], 2);
    }
  }
  if (t == 0) {
    s.top[warp][g] = top[0]; s.top[warp][g + 8] = top[1];
    s.sum[warp][g] = sum[0]; s.sum[warp][g + 8] = sum[1];
  }
#pragma unroll
  for (int d = 0; d < 8; d++) {
    *(float2*)&s.out[warp][g * HEAD + d * 8 + 2 * t] = make_float2(out[d][0], out[d][1]);
    *(float2*)&s.out[warp][(g + 8) * HEAD + d * 8 + 2 * t] = make_float2(out[d][2], out[d][3]);
  }
}

// A·o of dense for one group of heads: 8 warps, four rows of A each.
__device__ __forceinline__ void dense_u(const MixerArgs& a, const f16* o, int row, int group,
                                        int columns) {
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, groups = head_groups(a);
  const f16* A = a.ad[a.bank[row]] + (long)warp * 4 * a.hidden + group * GROUP * HEAD;
  float sum[4] = {0.f, 0.f, 0.f, 0.f};
#pragma unroll
  for (int c = 0; c < 4; c++) {
    const int k = (c * 32 + lane) * 8;
    if (k < columns) {
      const uint4 x = *(const uint4*)(o + k);
#pragma unroll
      for (int j = 0; j < 4; j++)
        sum[j] = dot8(__ldg((const uint4*)(A + (long)j * a.hidden + k)), x, sum[j]);
    }
  }
#pragma unroll
  for (int j = 0; j < 4; j++) {
    const float v = warp_sum(sum[j]);
    if (lane == 0) __stcg(a.ud + ((long)row * groups + group) * 32 + warp * 4 + j, v);
  }
}

__device__ __forceinline__ void attention(const MixerArgs& a, AttentionShared& s, int block) {
  const int groups = head_groups(a), steps = groups / a.groups_a_block;
  const int row = block / (steps * a.spans), rest = block % (steps * a.spans);
  const int span = rest / steps, group0 = (rest % steps) * a.groups_a_block;
  const int tid = threadIdx.x, warp = tid >> 5;
  const int pos = a.pos[row], slot = a.slot[row], used = pos / SPAN + 1;
  if (span >= used) return;
  const int from = span * SPAN + warp * 64;
  // History of earlier steps is there already: bring it near while the matrix still runs.
  for (int i = span * SPAN + tid; i <= min(pos, span * SPAN + SPAN - 1); i += 256) {
    prefetch(a.keys + ((long)slot * a.context + i) * HEAD);
    prefetch(a.values + ((long)slot * HEAD + (i & 63)) * a.context + (i & ~63));
  }
  wait_for_previous();
  if (a.write_kv && span == used - 1) store_key_value(a, row, tid);
  int* counters = a.counter + row * groups;
  for (int group = group0; group < group0 + a.groups_a_block; group++) {
    load_queries(a, s, row, group);
    __syncthreads();
    attend(a, s, slot, pos, from);
    __syncthreads();
    float value[4], top[4], sum[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {  // the block's eight warps, in order
      const int e = tid + i * 256, h = e >> 6;
      top[i] = -1e30f;
      for (int w = 0; w < 8; w++) top[i] = fmaxf(top[i], s.top[w][h]);
      value[i] = sum[i] = 0.f;
      for (int w = 0; w < 8; w++) {
        const float f = __expf(s.top[w][h] - top[i]);
        value[i] = fmaf(f, s.out[w][e], value[i]);
        sum[i] = fmaf(f, s.sum[w][h], sum[i]);
      }
    }
    if (used > 1) {
      float* mine = a.partial + (((long)row * groups + group) * a.spans) * (GROUP * HEAD + 32);
      float* at = mine + (long)span * (GROUP * HEAD + 32);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int e = tid + i * 256;
        __stcg(at + e, value[i]);
        if ((e & 63) == 0) { __stcg(at + 1024 + (e >> 6), top[i]); __stcg(at + 1040 + (e >> 6), sum[i]); }
      }
      if (!last_to_arrive(counters + group, used)) continue;
#pragma unroll
      for (int i = 0; i < 4; i++) {  // the spans, in order
        const int e = tid + i * 256, h = e >> 6;
        top[i] = -1e30f;
        for (int p = 0; p < used; p++)
          top[i] = fmaxf(top[i], __ldcg(mine + p * (GROUP * HEAD + 32) + 1024 + h));
        value[i] = sum[i] = 0.f;
        for (int p = 0; p < used; p++) {
          const float* q = mine + p * (GROUP * HEAD + 32);
          const float f = __expf(__ldcg(q + 1024 + h) - top[i]);
          value[i] = fmaf(f, __ldcg(q + e), value[i]);
          sum[i] = fmaf(f, __ldcg(q + 1040 + h), sum[i]);
        }
      }
    }
    const int columns = min(GROUP, a.heads - group * GROUP) * HEAD;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int e = tid + i * 256;
      const f16 v = to_half(value[i] / sum[i]);
      s.q[e] = v;
      if (e < columns) a.x2[row * a.ldx + group * GROUP * HEAD + e] = v;
    }
    __syncthreads();
    dense_u(a, s.q, row, group, columns);
    __syncthreads();
  }
}
