// The MLP's activation, and A·h of dense_4h_to_h: a block takes 8 rows and 256 columns.
//
// h = gelu(sums of W1). Its 8 warps take 32 columns each as the matrix instruction's B operand;
// A is [32][4·hidden], and a lane's columns are 8 consecutive ones. The pieces of u that the blocks
// make are added up in norm.cu. Until W1's sums are there the blocks hold A, and bring near what
// attention will read.
//
// Measured on an H200 for Falcon-7B, from W1's last sum to h counted: 2 to 4 µs with 1 row and with 8,
// which read 0.3 and 2.3 MB of sums: latency, while W2 fills its ring.
#include "mixer.cuh"

static constexpr int CHUNK = 256, ROWS = 8;

struct Shared {
  __align__(16) f16 h[ROWS][CHUNK];
  float u[8][32 * ROWS];  // by warp
};

__device__ __forceinline__ float gelu(float v) {
  return 0.5f * v * (1.f + erff(v * 0.70710678118654752f));
}

// What attention will read and no kernel of this step has read yet: history, and A of dense.
__device__ __forceinline__ void prefetch_history(const MixerArgs& a, int row0, int rows, int i0,
                                                 int threads) {
  for (int m = row0; m < row0 + rows; m++) {
    const int pos = a.pos[m], slot = a.slot[m];
    for (int i = i0; i < pos; i += threads) {
      prefetch(a.keys + ((long)slot * a.context + i) * HEAD);
      prefetch(a.values + ((long)slot * HEAD + (i & 63)) * a.context + (i & ~63));
    }
  }
  if (row0 == 0)
    for (int i = i0; i < 32 * a.hidden / 64; i += threads) prefetch(a.ad[a.bank[0]] + (long)i * 64);
}

__global__ void __launch_bounds__(CHUNK, 4) activation(const __grid_constant__ MixerArgs a) {
  __shared__ Shared s;
  let_next_start();
  const int chunks = 4 * a.hidden / CHUNK, chunk = blockIdx.x % chunks;
  const int row0 = blockIdx.x / chunks * ROWS, rows = min(ROWS, a.rows - row0), k0 = chunk * CHUNK;
  const int tid = threadIdx.x, warp = tid >> 5, lane = tid & 31, g = lane >> 2, t = lane & 3;
  const int first = a.banks[0], count = a.banks[1];
  uint4 A[4];
  auto load = [&](int bank) {
#pragma unroll
    for (int i = 0; i < 4; i++)
      A[i] = __ldg((const uint4*)(a.ah[bank] + (long)(i * 8 + g) * 4 * a.hidden + k0 + warp * 32 + t * 8));
  };
  load(first);
  if (a.prefetch) prefetch_history(a, row0, rows, chunk * CHUNK + tid, chunks * CHUNK);
  wait_for_first(a);
  if (blockIdx.x == 0 && tid == 0) a.ready[SECOND] = 0;
  auto put = [&](int m, float v) {
    const f16 h = to_half(gelu(v));
    s.h[m][tid] = h;
    if (m < rows) a.x2[(row0 + m) * a.ldx + a.hidden + k0 + tid] = h;
  };
  const float* y = a.y + row0 * a.ldy + a.hidden + 2 * HEAD + k0 + tid;
  if (rows == ROWS) {  // all loads in flight together
    float v[ROWS][MAX_PARTS];
#pragma unroll
    for (int m = 0; m < ROWS; m++) load_parts(v[m], y + m * a.ldy, a);
#pragma unroll
    for (int m = 0; m < ROWS; m++) put(m, add_parts(v[m]));
  } else {
#pragma unroll 1
    for (int m = 0; m < ROWS; m++) {
      float v[MAX_PARTS] = {};
      if (m < rows) load_parts(v, y + m * a.ldy, a);
      put(m, add_parts(v));
    }
  }
  __syncthreads();
  count_up(a.ready + ACTIVATION);
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
  count_up(a.ready + PIECES);
}

extern "C" int activate(const MixerArgs* a, cudaStream_t stream) {
  const int blocks = (a->rows + ROWS - 1) / ROWS * (4 * a->hidden / CHUNK);
  return launch(activation, dim3(blocks), CHUNK, 0, 1, stream, *a);
}
