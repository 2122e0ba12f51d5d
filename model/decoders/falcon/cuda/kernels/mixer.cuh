// What stands between the two matrices of a layer: the MLP's activation (activation.cu), then
// attention (attention.cu), both with their LoRA A. They run side by side, and W2 beside them: each
// says by counters what it has written.
#pragma once
#include "common.cuh"

static constexpr int HEAD = 64, GROUP = 16, SPAN = 512;  // SPAN tokens of history a block

struct MixerArgs {
  const float* y;           // [parts][row][ldy]: queries, key, value, then the MLP's input
  f16 *keys, *values;      // this layer's: [slot][context][64] and [slot][64][context]
  const int *slot, *pos, *bank;  // [row]
  const float2* rope;       // [context][32]: cosine and sine
  const f16* ad[2];        // by bank: A of dense, [32][hidden]
  const f16* ah[2];        // by bank: A of dense_4h_to_h, [32][4·hidden]
  f16* x2;                 // [row][ldx]: attention, activation, then u of both
  float* partial;           // [row][groups][spans][16·64 + 32]: unfinished attention
  float *ud, *uh;           // [row][groups][32] and [chunks][row][32]: unfinished u
  int* counter;             // [row][groups]; all zero between kernels
  const int* banks;         // device: first bank in use, number of banks in use
  int* ready;               // [READY], common.cuh
  long part_stride, ldy, ldx;
  int parts, rows, hidden, heads, context, spans;
  int first_blocks;         // of W1, which count FIRST up; 0: W1 does not
  int groups_a_block, spans_a_block;
  int prefetch;             // 1: the activation brings attention's history near
  int write_kv;             // 1: each row's key and value are stored here, not by `store_kv`
};
__device__ __forceinline__ int head_groups(const MixerArgs& a) {
  return (a.heads + GROUP - 1) / GROUP;
}
// Until W1's sums are there.
__device__ __forceinline__ void wait_for_first(const MixerArgs& a) {
  wait_for_blocks(a.ready + FIRST, a.first_blocks);
}
// The partial sums of an element of y, all in flight together, and their sum in order.
static constexpr int MAX_PARTS = 4;
__device__ __forceinline__ void load_parts(float* v, const float* y, const MixerArgs& a) {
#pragma unroll
  for (int p = 0; p < MAX_PARTS; p++) v[p] = p < a.parts ? __ldcg(y + p * a.part_stride) : 0.f;
}
__device__ __forceinline__ float add_parts(const float* v) { return v[0] + v[1] + v[2] + v[3]; }
// Element d < 32 of a head and element d + 32, turned by the row's position.
__device__ __forceinline__ float2 rotate(float lo, float hi, float2 turn) {
  return make_float2(fmaf(lo, turn.x, -hi * turn.y), fmaf(hi, turn.x, lo * turn.y));
}
// Of the row's key elements i and i + 32 for i < 32; of its value element i - 32 for i < 96.
__device__ __forceinline__ void store_key_value(const MixerArgs& a, int row, int i, float2 v) {
  const int pos = a.pos[row], slot = a.slot[row];
  if (i < 32) {
    f16* to = a.keys + ((long)slot * a.context + pos) * HEAD + i;
    to[0] = to_half(v.x);
    to[32] = to_half(v.y);
  } else {
    a.values[((long)slot * HEAD + i - 32) * a.context + pos] = to_half(v.x);
  }
}
