// Between the two matrices of a layer: attention in some blocks, the MLP's activation in the
// others, both with their LoRA A. And `store_kv`, which several rows of one slot need before
// any of them attends: a prompt's rows see one another.
//
// Measured on an H200 for Falcon-7B at 512 tokens of history: 11.7 µs for 1 row, 14.5 for 8 and 28
// for 64, which read 17 MB of keys and values (0.6 TB/s): latency.
#include "attention.cuh"
#include "mlp.cuh"

union MixerShared {
  AttentionShared attention;
  MlpShared mlp;
};

__global__ void __launch_bounds__(256, 3) mixer(const __grid_constant__ MixerArgs a) {
  __shared__ MixerShared s;
  let_next_start();
  const int blocks = a.rows * a.spans * (head_groups(a) / a.groups_a_block);
  if ((int)blockIdx.x < blocks)
    attention(a, s.attention, blockIdx.x);
  else
    mlp(a, s.mlp, blockIdx.x - blocks);
}

__global__ void __launch_bounds__(96) store_kv_kernel(const __grid_constant__ MixerArgs a) {
  let_next_start();
  wait_for_previous();
  store_key_value(a, blockIdx.x, threadIdx.x);
}

extern "C" {
int mixer_args_bytes() { return sizeof(MixerArgs); }
int mix(const MixerArgs* a, cudaStream_t stream) {
  const int groups = (a->heads + GROUP - 1) / GROUP;
  const int blocks = a->rows * a->spans * (groups / a->groups_a_block);
  const int activation = (a->rows + GROUP_ROWS - 1) / GROUP_ROWS * (4 * a->hidden / CHUNK);
  return launch(mixer, dim3(blocks + activation), 256, 0, 1, stream, *a);
}
int store_kv(const MixerArgs* a, cudaStream_t stream) {
  return launch(store_kv_kernel, dim3(a->rows), 96, 0, 1, stream, *a);
}
}
