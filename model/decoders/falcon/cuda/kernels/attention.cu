// Attention of a row and 16 query heads at a time over 512 tokens of its slot, and A·o of dense.
//
// The heads of a group are the 16 rows of the matrix instruction; each of 8 warps holds the keys and
// values of 64 tokens in registers, fetched while the matrix before still runs, since the history
// is there already. The row's own token is not in it: its score and value come from shared memory
// and join when the warps' sums are put together. Keys lie [token][64], values [64][token], and
// tokens are permuted so that every operand is two 16-byte loads: column g of tile nt is token
// 16·(g/2) + 2·nt + g%2 of the warp's 64.
//
// More than 512 tokens are shared by several blocks, or gone through one after the other: the sums
// of each 512 are kept, and whoever is last adds them up in order (split-KV). The pieces of u that
// the groups make are added up in norm.cu.
//
// Measured on an H200 for Falcon-7B at 512 tokens of history, from W1's last sum to o counted: 4.1 µs
// with 1 row, 10 with 8, of which 5 wait for 128 KB of history each; a row's 128 KB are read once for
// each group. Alone, with the activation: 11 µs, 12, and 37 with 64.
//
// A block fills a processor's registers, so that it has one to itself: beside the matrix kernel,
// which keeps shared memory busy, it took four times as long.
#include "mixer.cuh"

static constexpr int MAX_GROUPS = 5, WARPS = 8, THREADS = WARPS * 32;
static constexpr int RECORD = GROUP * HEAD + 32;  // of a span: sums, then top and weight by head

struct __align__(16) Shared {
  float out[WARPS][GROUP * HEAD];  // not yet divided
  float top[WARPS][GROUP], sum[WARPS][GROUP], own[GROUP];  // own: the score of the row's token
  __align__(16) f16 q[MAX_GROUPS][GROUP * HEAD], o[GROUP * HEAD];
  __align__(16) f16 key[HEAD], value[HEAD];
};
struct History {  // of a warp's 64 tokens
  uint4 key[8][2], value[8][2];
};

// Everything is on its way before the first is used.
__device__ __forceinline__ void load(const MixerArgs& a, History& h, int slot, int from) {
  const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
  const f16* k = a.keys + ((long)slot * a.context + from) * HEAD + 16 * t;
  const f16* v = a.values + ((long)slot * HEAD + g) * a.context + from + 16 * t;
#pragma unroll
  for (int i = 0; i < 8; i++) {
    const uint4* p = (const uint4*)(k + (16 * (g >> 1) + 2 * i + (g & 1)) * HEAD);
    h.key[i][0] = __ldcg(p);
    h.key[i][1] = __ldcg(p + 1);
  }
#pragma unroll
  for (int i = 0; i < 8; i++) {
    const uint4* p = (const uint4*)(v + (long)i * 8 * a.context);
    h.value[i][0] = __ldcg(p);
    h.value[i][1] = __ldcg(p + 1);
  }
}

// Queries of `heads` heads, turned and divided by the root of 64, to s.q; then, if `own`, the row's
// key and value. An item is two elements that turn together, or one of the value.
__device__ __forceinline__ void load_own(const MixerArgs& a, Shared& s, int row, int head0, int heads,
                                         bool own, bool keep, float2 turn) {
  constexpr int BATCH = 3;
  const int items = heads * 32 + (own ? 96 : 0), tid = threadIdx.x;
  const float* y = a.y + row * a.ldy;
  for (int i0 = tid; i0 < items; i0 += BATCH * THREADS) {
    float lo[BATCH][MAX_PARTS], hi[BATCH][MAX_PARTS];
#pragma unroll
    for (int b = 0; b < BATCH; b++) {
      const int i = min(i0 + b * THREADS, items - 1), k = i - heads * 32;
      const int head = min(head0 + (i >> 5), a.heads - 1);
      const float* at = k < 0 ? y + head * HEAD + (i & 31) : y + a.hidden + (k < 32 ? k : k + 32);
      load_parts(lo[b], at, a);
      load_parts(hi[b], k < 32 ? at + 32 : at, a);
    }
#pragma unroll
    for (int b = 0; b < BATCH; b++) {
      const int i = i0 + b * THREADS, k = i - heads * 32;
      if (i >= items) continue;
      float2 v = make_float2(add_parts(lo[b]), add_parts(hi[b]));
      if (k < 32) v = rotate(v.x, v.y, turn);
      if (k < 0) {
        const bool there = head0 + (i >> 5) < a.heads;
        f16* q = s.q[0] + (i >> 5) * HEAD + (i & 31);
        q[0] = to_half(there ? v.x * 0.125f : 0.f);
        q[32] = to_half(there ? v.y * 0.125f : 0.f);
      } else {
        if (k < 32) {
          s.key[k] = to_half(v.x);
          s.key[k + 32] = to_half(v.y);
        } else {
          s.value[k - 32] = to_half(v.x);
        }
        if (keep) store_key_value(a, row, k, v);
      }
    }
  }
}

// The scores of the row's own token: two heads a warp.
__device__ __forceinline__ void score_own(Shared& s, int group) {
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  const float2 k = __half22float2(((const __half2*)s.key)[lane]);
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const int h = warp * 2 + i;
    const float2 q = __half22float2(((const __half2*)(s.q[group] + h * HEAD))[lane]);
    const float v = warp_sum(fmaf(q.x, k.x, q.y * k.y));
    if (lane == 0) s.own[h] = v;
  }
}

// d[16x8] += a[16x64] b[64x8], of which a lane holds 16 numbers in a row.
__device__ __forceinline__ void mma64(float* d, const uint32_t (*a)[4], const uint4* b) {
  mma(d, a[0], b[0].x, b[0].y);
  mma(d, a[1], b[0].z, b[0].w);
  mma(d, a[2], b[1].x, b[1].y);
  mma(d, a[3], b[1].z, b[1].w);
}

// One warp: 16 heads over its tokens, of which the first `history` count.
__device__ __forceinline__ void attend(Shared& s, const History& h, const f16* queries, int history) {
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
  float top[2] = {-1e30f, -1e30f}, sum[2] = {0.f, 0.f}, out[8][4] = {};
  if (history > 0) {
    uint32_t q[4][4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const uint32_t *p0 = (const uint32_t*)(queries + g * HEAD + 16 * t + 4 * i),
                     *p1 = (const uint32_t*)(queries + (g + 8) * HEAD + 16 * t + 4 * i);
      q[i][0] = p0[0]; q[i][1] = p1[0]; q[i][2] = p0[1]; q[i][3] = p1[1];
    }
    float score[8][4] = {};
#pragma unroll
    for (int nt = 0; nt < 8; nt++) mma64(score[nt], q, h.key[nt]);
#pragma unroll
    for (int nt = 0; nt < 8; nt++)
#pragma unroll
      for (int e = 0; e < 2; e++) {
        if (16 * t + 2 * nt + e >= history) score[nt][e] = score[nt][2 + e] = -1e30f;
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
      const __half2 lo = to_half2(__expf(score[nt][0] - top[0]), __expf(score[nt][1] - top[0]));
      const __half2 hi = to_half2(__expf(score[nt][2] - top[1]), __expf(score[nt][3] - top[1]));
      sum[0] += __low2float(lo) + __high2float(lo);
      sum[1] += __low2float(hi) + __high2float(hi);
      p[nt >> 1][(nt & 1) * 2] = *(const uint32_t*)&lo;
      p[nt >> 1][(nt & 1) * 2 + 1] = *(const uint32_t*)&hi;
    }
#pragma unroll
    for (int d = 0; d < 8; d++) mma64(out[d], p, h.value[d]);
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

struct Sums {  // of a thread's elements 4·tid to 4·tid + 3, which are of head tid / 16
  float value[4], top, weight;

  __device__ __forceinline__ void add(float4 v, float v_weight, float f) {
    value[0] = fmaf(f, v.x, value[0]);
    value[1] = fmaf(f, v.y, value[1]);
    value[2] = fmaf(f, v.z, value[2]);
    value[3] = fmaf(f, v.w, value[3]);
    weight = fmaf(f, v_weight, weight);
  }
};

// The eight warps in order, then the row's own token, if it is of this span.
__device__ __forceinline__ void join_warps(const Shared& s, Sums& r, bool own) {
  const int h = threadIdx.x >> 4, e = threadIdx.x * 4;
  float top[WARPS];
  r.top = own ? s.own[h] : -1e30f;
#pragma unroll
  for (int w = 0; w < WARPS; w++) {
    top[w] = s.top[w][h];
    r.top = fmaxf(r.top, top[w]);
  }
  r.value[0] = r.value[1] = r.value[2] = r.value[3] = r.weight = 0.f;
#pragma unroll
  for (int w = 0; w < WARPS; w++)
    r.add(*(const float4*)&s.out[w][e], s.sum[w][h], __expf(top[w] - r.top));
  if (own) {
    const __half2* v = (const __half2*)&s.value[e & 63];
    const float2 lo = __half22float2(v[0]), hi = __half22float2(v[1]);
    r.add(make_float4(lo.x, lo.y, hi.x, hi.y), 1.f, __expf(s.own[h] - r.top));
  }
}

__device__ __forceinline__ void store_span(float* record, const Sums& r) {
  __stcg((float4*)record + threadIdx.x, *(const float4*)r.value);
  if ((threadIdx.x & 15) == 0)
    __stcg((float2*)(record + GROUP * HEAD) + (threadIdx.x >> 4), make_float2(r.top, r.weight));
}

// All spans in order, whoever attended to them.
__device__ __forceinline__ void join_spans(const float* records, int used, Sums& r) {
  auto of = [&](int span) {
    return __ldcg((const float2*)(records + span * RECORD + GROUP * HEAD) + (threadIdx.x >> 4));
  };
  r.top = -1e30f;
  for (int p = 0; p < used; p++) r.top = fmaxf(r.top, of(p).x);
  r.value[0] = r.value[1] = r.value[2] = r.value[3] = r.weight = 0.f;
  for (int p = 0; p < used; p++) {
    const float2 t = of(p);
    r.add(__ldcg((const float4*)(records + p * RECORD) + threadIdx.x), t.y, __expf(t.x - r.top));
  }
}

__device__ __forceinline__ int columns_of(const MixerArgs& a, int group) {
  return min(GROUP, a.heads - group * GROUP) * HEAD;
}
// A of dense for one group of heads to shared memory, [32][1024].
__device__ __forceinline__ void load_A(const MixerArgs& a, f16* A, uint32_t bar, int row, int group,
                                       int columns) {
  if (threadIdx.x >= 32) return;
  if (threadIdx.x == 0) barrier_expect(bar, 32 * columns * 2);
  __syncwarp();
  const f16* from = a.ad[a.bank[row]] + (long)threadIdx.x * a.hidden + group * GROUP * HEAD;
  bulk_copy(shared_address(A + threadIdx.x * GROUP * HEAD), from, columns * 2, bar);
}

// A·o of dense for one group of heads: 8 warps, four rows of A each.
__device__ __forceinline__ void dense_u(const MixerArgs& a, const f16* A, const f16* o, int row,
                                        int group, int columns) {
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  float sum[4] = {0.f, 0.f, 0.f, 0.f};
#pragma unroll
  for (int c = 0; c < 4; c++) {
    const int k = (c * 32 + lane) * 8;
    if (k < columns) {
      const uint4 x = *(const uint4*)(o + k);
#pragma unroll
      for (int j = 0; j < 4; j++)
        sum[j] = dot8(*(const uint4*)(A + (warp * 4 + j) * GROUP * HEAD + k), x, sum[j]);
    }
  }
#pragma unroll
  for (int j = 0; j < 4; j++) {
    const float v = warp_sum(sum[j]);
    if (lane == 0) __stcg(a.ud + ((long)row * head_groups(a) + group) * 32 + warp * 4 + j, v);
  }
}

// One group of a row is done.
__device__ __forceinline__ void finish(const MixerArgs& a, Shared& s, const Sums& r, int row,
                                       int group, int columns) {
  const int e = threadIdx.x * 4;
  const __half2 v[2] = {to_half2(r.value[0] / r.weight, r.value[1] / r.weight),
                        to_half2(r.value[2] / r.weight, r.value[3] / r.weight)};
  *(uint2*)&s.o[e] = *(const uint2*)v;
  if (e < columns) *(uint2*)(a.x2 + row * a.ldx + group * GROUP * HEAD + e) = *(const uint2*)v;
  __syncthreads();
  count_up(a.ready + ATTENTION);
}

__global__ void __launch_bounds__(THREADS, 1) attention(const __grid_constant__ MixerArgs a) {
  __shared__ Shared s;
  __shared__ __align__(8) uint64_t arrived;
  extern __shared__ __align__(128) f16 A[];
  let_next_start();
  const int groups = head_groups(a), steps = (groups + a.groups_a_block - 1) / a.groups_a_block;
  const int shares = (a.spans + a.spans_a_block - 1) / a.spans_a_block;  // blocks for a row's spans
  const int row = blockIdx.x / (steps * shares), rest = blockIdx.x % (steps * shares);
  const int group0 = rest % steps * a.groups_a_block, count = min(a.groups_a_block, groups - group0);
  const int pos = a.pos[row], slot = a.slot[row], used = pos / SPAN + 1;
  const int span0 = rest / steps * a.spans_a_block, span1 = min(used, span0 + a.spans_a_block);
  const int active = (used + a.spans_a_block - 1) / a.spans_a_block;
  if (span0 >= used) return;
  const int tid = threadIdx.x, first = (tid >> 5) * 64;  // of this warp's tokens in a span
  const float2 turn = a.rope[pos * 32 + (tid & 31)];
  const uint32_t bar = shared_address(&arrived);
  if (tid == 0) barrier_init(bar, 1);
  barrier_fence();
  __syncthreads();
  uint32_t phase = 0;
  History history;
  if (!a.write_kv) wait_for_previous();  // the other rows of the slot are its history too
  for (int span = span0; span < span1; span++) {
    const int from = span * SPAN + first;
    const bool own = span == used - 1;
    if (span == span0) {
      if (from < pos) load(a, history, slot, from);
      for (int i = (span + 1) * SPAN + tid; i < min(pos, span1 * SPAN); i += THREADS) {
        prefetch(a.keys + ((long)slot * a.context + i) * HEAD);
        prefetch(a.values + ((long)slot * HEAD + (i & 63)) * a.context + (i & ~63));
      }
      if (a.write_kv) wait_for_first(a);
      load_own(a, s, row, group0 * GROUP, count * GROUP, span1 == used, a.write_kv && group0 == 0, turn);
      load_A(a, A, bar, row, group0, columns_of(a, group0));  // after what is needed first
      __syncthreads();
    }
    for (int i = 0; i < count; i++) {
      const int group = group0 + i;
      float* records = a.partial + ((long)row * groups + group) * a.spans * RECORD;
      if (own) score_own(s, i);
      attend(s, history, s.q[i], pos - from);
      if (i == count - 1 && span + 1 < span1 && from + SPAN < pos) load(a, history, slot, from + SPAN);
      __syncthreads();
      Sums r;
      join_warps(s, r, own);
      bool done = used == 1;
      if (!done) {
        store_span(records + (long)span * RECORD, r);
        if (span == span1 - 1) {
          done = active == 1 || last_to_arrive(a.counter + row * groups + group, active);
          __syncthreads();  // a record is written by several threads
          if (done) join_spans(records, used, r);
        }
      }
      if (done) finish(a, s, r, row, group, columns_of(a, group));
      if (span == span1 - 1) {
        barrier_wait(bar, phase);
        phase ^= 1;
        if (done) dense_u(a, A, s.o, row, group, columns_of(a, group));
        __syncthreads();
        if (done) count_up(a.ready + PIECES);
        if (i + 1 < count) load_A(a, A, bar, row, group + 1, columns_of(a, group + 1));
      } else {
        __syncthreads();
      }
    }
  }
}

__global__ void __launch_bounds__(96) store_kv_kernel(const __grid_constant__ MixerArgs a) {
  let_next_start();
  wait_for_previous();
  const int row = blockIdx.x, i = threadIdx.x;
  const float* y = a.y + row * a.ldy + a.hidden + (i < 32 ? i : i + 32);
  float lo[MAX_PARTS], hi[MAX_PARTS];
  load_parts(lo, y, a);
  load_parts(hi, i < 32 ? y + 32 : y, a);
  const float2 v = make_float2(add_parts(lo), add_parts(hi));
  store_key_value(a, row, i, i < 32 ? rotate(v.x, v.y, a.rope[a.pos[row] * 32 + i]) : v);
}

extern "C" {
int mixer_args_bytes() { return sizeof(MixerArgs); }
int attend(const MixerArgs* a, cudaStream_t stream) {
  const int groups = (a->heads + GROUP - 1) / GROUP;
  const int shares = (a->spans + a->spans_a_block - 1) / a->spans_a_block;
  if (a->groups_a_block > MAX_GROUPS || a->parts > MAX_PARTS) return (int)cudaErrorInvalidValue;
  const int steps = (groups + a->groups_a_block - 1) / a->groups_a_block;
  const int blocks = a->rows * shares * steps;
  return launch(attention, dim3(blocks), THREADS, 32 * GROUP * HEAD * 2, 1, stream, *a);
}
int store_kv(const MixerArgs* a, cudaStream_t stream) {
  return launch(store_kv_kernel, dim3(a->rows), 96, 0, 1, stream, *a);
}
}
