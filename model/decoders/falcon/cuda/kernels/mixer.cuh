// What attention and the MLP's activation share: they run side by side in one kernel (mixer.cu).
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
  long part_stride, ldy, ldx;
  int parts, rows, hidden, heads, context, spans;
  int groups_a_block;       // 1, or all of them
  int write_kv;             // 1: each row's key and value are stored here, not by `store_kv`
};
__device__ __forceinline__ int head_groups(const MixerArgs& a) {
  return (a.heads + GROUP - 1) / GROUP;
}
// Element d < 32 of a head and element d + 32, turned by the row's position.
__device__ __forceinline__ float2 rotate(float lo, float hi, float2 turn) {
  return make_float2(fmaf(lo, turn.x, -hi * turn.y), fmaf(hi, turn.x, lo * turn.y));
}
__device__ __forceinline__ void store_key_value(const MixerArgs& a, int row, int i) {
  const int pos = a.pos[row], slot = a.slot[row];
  const float* y = a.y + row * a.ldy + a.hidden;
  if (i < 32) {
    const float2 k = rotate(gather(y + i, a.parts, a.part_stride),
                            gather(y + i + 32, a.parts, a.part_stride), a.rope[pos * 32 + i]);
    f16* to = a.keys + ((long)slot * a.context + pos) * HEAD + i;
    to[0] = to_half(k.x);
    to[32] = to_half(k.y);
  } else if (i < 96) {
    const int d = i - 32;
    a.values[((long)slot * HEAD + d) * a.context + pos] =
        to_half(gather(y + 64 + d, a.parts, a.part_stride));
  }
}
