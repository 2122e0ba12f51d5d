// The matrix stream: y[part][row m][out] = W[out][columns of part] · x[m], NF4 with LoRA, or f16.
//
// W lies in units of 32 rows x 64 columns (layout.py). Work is cut into items: one tile of 32
// rows times one part of at most 18 units of columns. An item belongs to one warp, which adds it
// up in one order and stores it as a partial sum of its own: no atomics, so a result depends on
// neither the other rows of the batch nor on timing, bit for bit.
//
// A block works on one job, a part and a range of tiles, and keeps that part of x in shared
// memory. Every warp fills a ring of its own by bulk copies, so that no barrier stops the block.
// Codes become f16 by a table that is replicated for each of the 32 banks; the scale of a unit
// is applied in fp32 after its 64 columns. LoRA's B follows the last part's codes as raw units,
// two for each bank; its u = A·x lies behind the x of that part.
//
// The weight ring starts before x is there. W2 does not wait for the kernel before it: parts that
// read the activation begin when the activation is counted, parts that read attention later. With up
// to 8 rows a block leaves a quarter of the registers and a sixth of the shared memory free, so that
// LayerNorm and the activation wait beside it instead of starting when it ends.
//
// Measured on an H200 (copies run at 4.27 TB/s), W1 of Falcon-7B, 57 MB, one launch after another:
// 1 row 17.3 µs (3.3 TB/s), 8 rows 20.1 µs (2.8), 64 rows 55 µs (1.0).
#include "common.cuh"

static constexpr int UNIT = 1088, DENSE = 4096, MAX_JOBS = 32, MAX_BLOCKS = 256, PART = 18;

struct Job {
  int k0, blocks;     // first unit and number of units of columns
  int tile0, tiles;   // tiles of 32 rows
  int set, sets;      // the LoRA set whose u follows x; sets = 0: none
  int part;           // where the sums go
  int needs;          // which counters say that its x is there: 1 << ATTENTION, 1 << ACTIVATION
};
struct MatrixArgs {
  const uint8_t* weights;   // [tiles][blocks][unit]
  const uint8_t* lora[2];   // by bank: [tiles][2][UNIT]
  const f16* x;            // [m][ldx]: columns, then u of every set, 64 (two banks of 32) each
  float* out;               // [part][m][out_rows]
  const int* banks;         // device: first bank in use, number of banks in use
  const int* ready;         // counters of the kernels before this one; null: wait until it ends
  int* done;                // null, or a counter of this kernel's blocks
  long ldx, part_stride, out_rows;
  int rows, blocks, u_column, fold, jobs;
  int least[SECOND];        // what the counters before it come to
  uint8_t job_of[MAX_BLOCKS];  // the job of each thread block
  int block0[MAX_JOBS + 1]; // first thread block of each job
  Job job[MAX_JOBS];
};

template <int NT, int WARPS, int U, int S, int KMAX, bool D>
struct Layout {
  static constexpr int unit = D ? DENSE : UNIT;
  static constexpr int shift = NT < 8 ? 8 : 7;  // 64 rows leave no room for the larger table
  static constexpr int x_rows = NT == 0 ? 1 : NT * 8;
  static constexpr int x_stride = KMAX * 128 + 16;  // 16 bytes of padding: other banks next row
  static constexpr int bars = D ? 0 : table_bytes(shift);
  static constexpr int x = bars + 1024;
  static constexpr int ring = (x + x_rows * x_stride + 127) / 128 * 128;
  static constexpr int bytes = ring + WARPS * S * U * unit;
};

// NT: tiles of 8 rows of x, 0 for a single row. U units a stage, S stages a warp.
// BOUND: threads that registers must be left for; more than are launched leaves room for another
// block on the same processor.
template <int NT, int WARPS, int U, int S, int KMAX, bool D, int BOUND>
__global__ void __launch_bounds__(BOUND, 1) stream_matrix(const __grid_constant__ MatrixArgs a) {
  typedef Layout<NT, WARPS, U, S, KMAX, D> L;
  constexpr bool ONE = NT == 0;
  constexpr int N = ONE ? 1 : NT;
  extern __shared__ __align__(1024) uint8_t shared[];
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
  const uint32_t base = shared_address(shared), x_bar = base + L::bars;
  const uint32_t bar = x_bar + 8 + warp * S * 8, ring = base + L::ring + warp * (S * U * L::unit);

  const int number = a.job_of[blockIdx.x];
  const Job job = a.job[number];
  const int first_bank = job.sets ? a.banks[0] : 0, banks = job.sets ? a.banks[1] : 0;
  const int per_tile = job.blocks + job.sets * 2 * banks;
  const int workers = (a.block0[number + 1] - a.block0[number]) * WARPS;
  const int worker = ((int)blockIdx.x - a.block0[number]) * WARPS + warp;
  int tile = job.tile0 + (int)((long)job.tiles * worker / workers);
  const int tile_end = job.tile0 + (int)((long)job.tiles * (worker + 1) / workers);
  const int n = (tile_end - tile) * per_tile;

  if (lane == 0) {
    for (int i = 0; i < S; i++) barrier_init(bar + i * 8, 1);
    if (warp == 0) barrier_init(x_bar, 1);
    barrier_fence();
  }
  __syncwarp();

  // The producer's cursor: units fetched so far, and where the next one lies.
  int fetched = 0, from_tile = tile, from = 0;
  auto fetch = [&](int stage) {
    int count = min(U, n - fetched);
    if (count <= 0) return;
    if (lane == 0) barrier_expect(bar + stage * 8, count * L::unit);
    uint32_t to = ring + stage * U * L::unit;
    fetched += count;
    while (count) {
      int run = 1;
      const uint8_t* source;
      if (from < job.blocks) {  // codes of one tile lie together: one copy
        run = min(count, job.blocks - from);
        source = a.weights + ((long)from_tile * a.blocks + job.k0 + from) * L::unit;
      } else {
        const int q = from - job.blocks;
        source = a.lora[first_bank + (q >> 1)] + ((long)from_tile * 2 + (q & 1)) * UNIT;
      }
      if (lane == 0) bulk_copy(to, source, run * L::unit, bar + stage * 8);
      to += run * L::unit;
      count -= run;
      from += run;
      if (from == per_tile) { from = 0; from_tile++; }
    }
  };
#pragma unroll 1
  for (int s = 0; s < S - 1; s++) fetch(s);
  if (warp == 0) {
    if (a.ready) {
      for (int i = ATTENTION; i <= ACTIVATION; i++)
        if (job.needs >> i & 1) wait_for_count(a.ready + i, a.least[i]);
      fence_for_copies();
    } else {
      wait_for_previous();
    }
    // The next kernel may read the pieces of u as soon as it starts: norm.cu.
    if (!a.ready || !(job.needs >> ATTENTION & 1)) let_next_start();
    const int rows = ONE ? 1 : a.rows, span = (job.blocks + job.sets) * 128;
    if (lane == 0) barrier_expect(x_bar, rows * span);
    __syncwarp();
    for (int m = lane; m < rows; m += 32) {
      const uint32_t to = base + L::x + m * L::x_stride;
      const f16* x = a.x + m * a.ldx;
      bulk_copy(to, x + job.k0 * 64, job.blocks * 128, x_bar);
      if (job.sets)
        bulk_copy(to + job.blocks * 128, x + a.u_column + job.set * 64, job.sets * 128, x_bar);
    }
  } else if (!D) {
    build_table<L::shift>(shared, threadIdx.x - 32, WARPS * 32 - 32);
  }
  __syncthreads();
  if (a.ready && warp == 1 && job.needs >> ATTENTION & 1) {
    wait_for_count(a.ready + PIECES, a.least[PIECES]);
    let_next_start();
  }
  barrier_wait(x_bar, 0);

  float acc[2][N][4], total[2][N][4];
#pragma unroll
  for (int i = 0; i < 8 * N; i++) ((float*)acc)[i] = ((float*)total)[i] = 0.f;
  const uint32_t lane4 = lane * 4, x_lane = base + L::x + (ONE ? 0 : g * L::x_stride);
  auto decode = [&](uint32_t (*A)[4], uint32_t codes) {  // 16 rows of a unit to the A operand
    const uint4 v = shared_load16(codes + lane * 16);
    const uint32_t w[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int s = 0; s < 4; s++) {
#pragma unroll
      for (int i = 0; i < 4; i++) A[s][i] = look_up<L::shift>(shared, w[s], i, lane4);
    }
  };
  auto scaled_add = [](float* to, const float* d, uint32_t scales) {  // of rows g and g + 8
    const float2 s = __half22float2(*(const __half2*)&scales);
    to[0] = fmaf(s.x, d[0], to[0]);
    to[1] = fmaf(s.x, d[1], to[1]);
    to[2] = fmaf(s.y, d[2], to[2]);
    to[3] = fmaf(s.y, d[3], to[3]);
  };

  auto store = [&]() {
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
      for (int nt = 0; nt < N; nt++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const int m = nt * 8 + 2 * t + (i & 1), row = tile * 32 + half * 16 + (i >> 1) * 8 + g;
          if (D) acc[half][nt][i] += total[half][nt][i];
          if (m < (ONE ? 1 : a.rows))
            __stcg(a.out + job.part * a.part_stride + m * a.out_rows + row, acc[half][nt][i]);
          acc[half][nt][i] = total[half][nt][i] = 0.f;
        }
  };

  int stage = 0, kb = 0;
  uint32_t phase = 0;
#pragma unroll 1
  for (int done = 0; done < n; done += U) {
    fetch(stage == 0 ? S - 1 : stage - 1);  // what the round before has emptied
    barrier_wait(bar + stage * 8, phase);
#pragma unroll
    for (int u = 0; u < U; u++) {
      if (done + u >= n) continue;
      const uint32_t unit = ring + (stage * U + u) * L::unit;
      if (D || kb < job.blocks) {
        if constexpr (!D && N == 1) {  // half a tile after the other: few registers
          uint4 b0 = make_uint4(0, 0, 0, 0), b1 = b0;
          if (ONE ? g == 0 : g < a.rows) {
            b0 = shared_load16(x_lane + kb * 128 + t * 32);
            b1 = shared_load16(x_lane + kb * 128 + t * 32 + 16);
          }
          const uint2 scales = shared_load8(unit + 1024 + g * 8);
#pragma unroll
          for (int half = 0; half < 2; half++) {
            uint32_t A[4][4];
            decode(A, unit + half * 512);
            float d[4];
            mma_first(d, A[0], b0.x, b0.y);
            mma(d, A[1], b0.z, b0.w);
            mma(d, A[2], b1.x, b1.y);
            mma(d, A[3], b1.z, b1.w);
            scaled_add(acc[half][0], d, half ? scales.y : scales.x);
          }
        } else {
          uint32_t A[2][4][4];
          if (D) {
#pragma unroll
            for (int i = 0; i < 8; i++) {
              const uint4 v = shared_load16(unit + i * 512 + lane * 16);
              uint32_t* w = A[i & 1][i >> 1];
              w[0] = v.x; w[1] = v.y; w[2] = v.z; w[3] = v.w;
            }
          } else {
            decode(A[0], unit);
            decode(A[1], unit + 512);
          }
          const uint2 scales = D ? make_uint2(0, 0) : shared_load8(unit + 1024 + g * 8);
#pragma unroll
          for (int nt = 0; nt < N; nt++) {
            uint4 b0 = make_uint4(0, 0, 0, 0), b1 = b0;
            if (ONE ? g == 0 : (NT > 1 || g < a.rows)) {
              const uint32_t x = x_lane + nt * 8 * L::x_stride + kb * 128 + t * 32;
              b0 = shared_load16(x);
              b1 = shared_load16(x + 16);
            }
#pragma unroll
            for (int half = 0; half < 2; half++) {
              float sum[4], *d = D ? acc[half][nt] : sum;
              if (D) mma(d, A[half][0], b0.x, b0.y); else mma_first(d, A[half][0], b0.x, b0.y);
              mma(d, A[half][1], b0.z, b0.w);
              mma(d, A[half][2], b1.x, b1.y);
              mma(d, A[half][3], b1.z, b1.w);
              if (!D) scaled_add(acc[half][nt], d, half ? scales.y : scales.x);
            }
          }
        }
      } else {  // LoRA's B: 32 rows x 16 of the rank, f16 as the instruction wants it
        const int q = kb - job.blocks, bank = first_bank + (q >> 1);
        const uint4 v0 = shared_load16(unit + lane * 16), v1 = shared_load16(unit + 512 + lane * 16);
        const uint32_t A0[4] = {v0.x, v0.y, v0.z, v0.w}, A1[4] = {v1.x, v1.y, v1.z, v1.w};
        const uint32_t u_lane = x_lane + job.blocks * 128 + bank * 64 + (q & 1) * 32 + t * 8;
#pragma unroll
        for (int nt = 0; nt < N; nt++) {
          uint2 b = make_uint2(0, 0);
          if (ONE ? g == 0 : (NT > 1 || g < a.rows)) b = shared_load8(u_lane + nt * 8 * L::x_stride);
          mma(acc[0][nt], A0, b.x, b.y);
          mma(acc[1][nt], A1, b.x, b.y);
        }
      }
      kb++;
      if (D && a.fold && kb % a.fold == 0 && kb < per_tile) {  // as parts would be added later
#pragma unroll
        for (int i = 0; i < 8 * N; i++) {
          ((float*)total)[i] += ((float*)acc)[i];
          ((float*)acc)[i] = 0.f;
        }
      }
      if (kb == per_tile) { store(); kb = 0; tile++; }
    }
    __syncwarp();
    if (++stage == S) { stage = 0; phase ^= 1; }
  }
  if (a.done) {
    __syncthreads();
    count_up(a.done);
  }
}

template <int NT, int WARPS, int U, int S, int KMAX, bool D, int BOUND = WARPS * 32>
static int run(const MatrixArgs& a, cudaStream_t stream) {
  return launch(stream_matrix<NT, WARPS, U, S, KMAX, D, BOUND>, dim3(a.block0[a.jobs]), WARPS * 32,
                Layout<NT, WARPS, U, S, KMAX, D>::bytes, 1, stream, a);
}

extern "C" {
int matrix_args_bytes() { return sizeof(MatrixArgs); }

// NF4 times at most `width` rows: 1, 8, 16, 32 or 64.
int nf4_matrix(int width, const MatrixArgs* a, cudaStream_t stream) {
  switch (width) {
    case 1: return run<0, 24, 2, 2, PART, false, 1024>(*a, stream);
    case 8: return run<1, 24, 2, 2, PART, false, 1024>(*a, stream);
    case 16: return run<2, 16, 2, 3, PART, false>(*a, stream);
    case 32: return run<4, 12, 2, 3, PART, false>(*a, stream);
    case 64: return run<8, 12, 1, 3, PART, false>(*a, stream);
  }
  return -1;
}
// f16; up to 8 rows over all columns in one part (fold = 18), above in parts of 18 units.
int dense_matrix(int width, const MatrixArgs* a, cudaStream_t stream) {
  switch (width) {
    case 1: return run<0, 16, 1, 3, 71, true>(*a, stream);
    case 8: return run<1, 8, 1, 4, 71, true>(*a, stream);
    case 16: return run<2, 12, 1, 3, PART, true>(*a, stream);
    case 32: return run<4, 8, 1, 4, PART, true>(*a, stream);
    case 64: return run<8, 8, 1, 2, PART, true>(*a, stream);
  }
  return -1;
}
}
