// The MLP's activation, and A·h of dense_4h_to_h: a block takes 8 rows and 256 columns.
//
// h = gelu(sums of W1). Its 8 warps take 32 columns each as the matrix instruction's B operand;
// A is [32][4·hidden], and a lane's columns are 8 consecutive ones. The pieces of u that the blocks
// make are added up in norm.cu.
#pragma once
#include "mixer.cuh"

static constexpr int CHUNK = 256, GROUP_ROWS = 8;

struct MlpShared {
  __align__(16) f16 h[GROUP_ROWS][CHUNK];
  float u[8][32 * GROUP_ROWS];  // by warp
};

__device__ __forceinline__ float gelu(float v) {
  return 0.5f * v * (1.f + erff(v * 0.70710678118654752f));
}

__device__ __forceinline__ void mlp(const MixerArgs& a, MlpShared& s, int block) {
  const int chunks = 4 * a.hidden / CHUNK, chunk = block % chunks, row0 = block / chunks * GROUP_ROWS;
  const int rows = min(GROUP_ROWS, a.rows - row0), k0 = chunk * CHUNK;
  const int tid = threadIdx.x, warp = tid >> 5, lane = tid & 31, g = lane >> 2, t = lane & 3;
  const int first = a.banks[0], count = a.banks[1];
  uint4 A[4];
  auto load = [&](int bank) {
#pragma unroll
    for (int i = 0; i < 4; i++)
      A[i] = __ldg((const uint4*)(a.ah[bank] + (long)(i * 8 + g) * 4 * a.hidden + k0 + warp * 32 + t * 8));
  };
  load(first);
  wait_for_previous();
  const float* y = a.y + row0 * a.ldy + a.hidden + 2 * HEAD + k0 + tid;
#pragma unroll
  for (int m = 0; m < GROUP_ROWS; m++) {
    f16 h = to_half(0.f);
    if (m < rows) {
      h = to_half(gelu(gather(y + m * a.ldy, a.parts, a.part_stride)));
      a.x2[(row0 + m) * a.ldx + a.hidden + k0 + tid] = h;
    }
    s.h[m][tid] = h;
  }
  __syncthreads();
  const uint4 x = *(const uint4*)&s.h[g][warp * 32 + t * 8];
  for (int b = first; b < first + count; b++) {
    if (b > first) load(b);
    float d[2][4];
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const uint4 lo = A[half * 2], hi = A[half * 2 + 1];
      const uint32_t a0[4] = {lo.x, hi.x, lo.y, hi.y}, a1[4] = {lo.z, hi.z, lo.w, hi.w};
      mma_first(d[half], a0, x.x, x.y);
      mma(d[half], a1, x.z, x.w);
#pragma unroll
      for (int i = 0; i < 4; i++)
        s.u[warp][(2 * t + (i & 1)) * 32 + half * 16 + (i >> 1) * 8 + g] = d[half][i];
    }
    __syncthreads();
    const int m = tid >> 5;
    if (m < rows && a.bank[row0 + m] == b) {
      float u = 0.f;
      for (int w = 0; w < 8; w++) u += s.u[w][tid];
      __stcg(a.uh + ((long)chunk * a.rows + row0 + m) * 32 + lane, u);
    }
    __syncthreads();
  }
}
