// Prompts of more than 64 tokens: a matrix back to fp16 for cuBLAS, W1 with LoRA's B beside it.
//
//     W1[row] = NF4 values · scale (hidden columns), then for each set and bank 32 columns of B,
//     zero in the set that the row does not belong to
//
// so that one product with [x | u] gives the layer's output. A warp takes a unit of 32 x 64; the
// table of matrix.cu gives both ways the same rounding of the sixteen values.
//
// Measured on an H200 with cuBLAS' product: W1 300 µs and W2 280 µs for 512 rows of Falcon-7B.
#include "common.cuh"

static constexpr int UNIT = 1088;

__global__ void __launch_bounds__(512) dequantise(const uint8_t* units, f16* out, int blocks,
                                                  long count, long stride) {
  extern __shared__ __align__(1024) uint8_t shared[];
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
  build_table<7>(shared, threadIdx.x, 512);
  __syncthreads();
  for (long i = (long)blockIdx.x * 16 + warp; i < count; i += (long)gridDim.x * 16) {
    const uint8_t* unit = units + i * UNIT;
    const long tile = i / blocks, block = i % blocks;
    const uint2 raw = *(const uint2*)(unit + 1024 + g * 8);
    const float2 s0 = __half22float2(*(const half2*)&raw.x), s1 = __half22float2(*(const half2*)&raw.y);
    const float scale[2][2] = {{s0.x, s0.y}, {s1.x, s1.y}};
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const uint4 v = *(const uint4*)(unit + half * 512 + lane * 16);
      const uint32_t w[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
      for (int h = 0; h < 2; h++) {
        uint32_t o[8];
#pragma unroll
        for (int s = 0; s < 4; s++)
#pragma unroll
          for (int j = 0; j < 2; j++) {
            const uint32_t pair = look_up<7>(shared, w[s], 2 * j + h, lane * 4);
            const float2 f = __half22float2(*(const __half2*)&pair);
            const __half2 r = to_half2(f.x * scale[half][h], f.y * scale[half][h]);
            o[2 * s + j] = *(const uint32_t*)&r;
          }
        uint4* to = (uint4*)(out + (tile * 32 + half * 16 + h * 8 + g) * stride + block * 64 + t * 16);
        to[0] = make_uint4(o[0], o[1], o[2], o[3]);
        to[1] = make_uint4(o[4], o[5], o[6], o[7]);
      }
    }
  }
}

// B of both banks, [tiles][2][UNIT] each, into the 128 columns behind the weights of W1; rows from
// `split` on belong to set 1.
__global__ void lora_columns(const uint8_t* bank0, const uint8_t* bank1, const int* banks, f16* out,
                             long stride, int columns, int split) {
  const int row = blockIdx.x, c = threadIdx.x, set = c >> 6, bank = c >> 5 & 1, r = c & 31;
  const int first = banks[0], count = banks[1];
  f16 v = to_half(0.f);
  if (bank >= first && bank < first + count && set == (row >= split)) {
    const int half = row >> 4 & 1, h = row >> 3 & 1, g = row & 7, k = r & 15;
    const uint8_t* unit = (bank ? bank1 : bank0) + ((long)(row >> 5) * 2 + (r >> 4)) * UNIT;
    const int t = k >> 2, j = k >> 1 & 1, p = k & 1;
    v = *(const f16*)(unit + half * 512 + (g * 4 + t) * 16 + (2 * j + h) * 4 + p * 2);
  }
  out[row * stride + columns + c] = v;
}

extern "C" {
int dequantise_units(const uint8_t* units, f16* out, int blocks, long count, long stride,
                     cudaStream_t stream) {
  cudaError_t e = cudaFuncSetAttribute((const void*)dequantise,
                                       cudaFuncAttributeMaxDynamicSharedMemorySize, table_bytes(7));
  if (e != cudaSuccess) return (int)e;
  dequantise<<<528, 512, table_bytes(7), stream>>>(units, out, blocks, count, stride);
  return (int)cudaGetLastError();
}
int copy_lora(const uint8_t* bank0, const uint8_t* bank1, const int* banks, f16* out, long stride,
              int columns, int split, int rows, cudaStream_t stream) {
  lora_columns<<<rows, 128, 0, stream>>>(bank0, bank1, banks, out, stride, columns, split);
  return (int)cudaGetLastError();
}
}
