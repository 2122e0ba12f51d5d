// What attention and the MLP's activation share: they run side by side in one kernel (mixer.cu).
#pragma once
#include "common.cuh"

static constexpr int HEAD = 64, GROUP = 16, SPAN = 512;  // SPAN tokens of history a block

struct MixerArgs {
  const float* y;           // [parts][row][ldy]: queries, key, value, then the MLP's input
  bf16 *keys, *values;      // this layer's: [slot][context][64] and [slot][64][context]
  const int *slot, *pos, *bank;  // [row]
  const float2* rope;       // [context][32]: cosine and sine
  const bf16* ad[2];        // by bank: A of dense, [32][hidden]
  const bf16* ah[2];        // by bank: A of dense_4h_to_h, [32][4·hidden]
  bf16* x2;                 // [row][ldx]: attention, activation, then u of both
  float* partial;           // [row][groups][spans][16·64 + 32]: unfinished attention
  float *ud, *uh;           // [row][groups][32] and [chunks][row][32]: unfinished u
  int* counter;             // [row][groups], [row], [row/8]; all zero between kernels
  const int* banks;         // device: first bank in use, number of banks in use
  long part_stride, ldy, ldx;
  int parts, rows, hidden, heads, context, spans;
  int groups_a_block;       // 1, or all of them
  int write_kv;             // 1: each row's key and value are stored here, not by `store_kv`
};
__device__ __forceinline__ int head_groups(const MixerArgs& a) {
  return (a.heads + GROUP - 1) / GROUP;
}
// Where u of a set goes, and zero into the bank that the row does not use.
__device__ __forceinline__ void store_u(const MixerArgs& a, int row, int set, int j, float u) {
  bf16* to = a.x2 + row * a.ldx + 5 * (long)a.hidden + set * 64 + j;
  const int bank = a.bank[row];
  to[bank * 32] = __float2bfloat16(u);
  to[32 - bank * 32] = __float2bfloat16(0.f);
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
    bf16* to = a.keys + ((long)slot * a.context + pos) * HEAD + i;
    to[0] = __float2bfloat16(k.x);
    to[32] = __float2bfloat16(k.y);
  } else if (i < 96) {
    const int d = i - 32;
    a.values[((long)slot * HEAD + d) * a.context + pos] =
        __float2bfloat16(gather(y + 64 + d, a.parts, a.part_stride));
  }
}
