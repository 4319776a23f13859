// How a consumer of im2win_tensor_core_winograd writes strips of neighbouring positions.
#pragma once
#include "winograd_tensor_core.cuh"

// A channel's outputs of neighbouring strips are neighbours in memory, row after row of each strip, while a consumer holds them
// row by row of all strips. They pass through shared memory, a few channels at a time, and warps write them in the order of
// memory: what the L2 takes a write for is a sector, and rows of few outputs fill theirs badly.
template <int OUTPUTS, int N>
struct StripStore {
  static constexpr int CHANNELS = 4;  // at a time
  // Eight banks from channel to channel: four rows of two neighbours from four lanes meet no bank conflict.
  static constexpr int ROW = (OUTPUTS * N + 23) / 32 * 32 + 8, BUFFER = CHANNELS * ROW;
  struct Place {
    int column, offset;  // of the results, and in Y from the first place's image on; negative: not an output
  };
  static constexpr int PLACES = OUTPUTS * N;

  // Where outputs lie, in the order of memory, for all threads of a consumer.
  template <class COLUMNS>
  __device__ static void find_places(Place (&places)[PLACES], const COLUMNS& columns) {
    const Problem& p = columns.p;
    const int pitch = columns.by_pitch.divisor, first_column = columns.place(0).column;
    // Positions and width of the first strip, which may begin at any column.
    const int first_width = max(0, min(p.out_width - first_column, N)), first_size = OUTPUTS * first_width;
    const long long first_output = image_output(p, columns.place(0).image);
    for (int i = threadIdx.x % 128; i < PLACES; i += 128) {
      int position = 0, width = first_width, in_strip = i;
      if (i >= first_size) {
        const int strip = (i - first_size) / (OUTPUTS * p.out_width);
        position = pitch - first_column + strip * pitch;
        width = min(p.out_width, N - position), in_strip = i - first_size - strip * OUTPUTS * p.out_width;
      }
      const int row = width > 0 ? in_strip / width : OUTPUTS;
      const int column = row * N + position + in_strip - row * width;
      const bool is_output = row < OUTPUTS && columns.is_output(column);
      places[i] = {column, is_output ? static_cast<int>(columns.output_index(column) - first_output) : -1};
    }
  }
  __device__ static long long image_output(const Problem& p, int image) {
    return static_cast<long long>(image) * p.out_channels * p.pixels_per_image();
  }

  // As WarpOutput::store; `places` are those of the consumer.
  template <class OUTPUT>
  __device__ static bool store(const OUTPUT& output, const float (&results)[PLACES / 8][4], const RowFactors& factors,
                               float* buffer, const Place (&places)[PLACES]) {
    const int lane = threadIdx.x % 32;
    const long long plane = output.p.pixels_per_image();
    float* const y = output.y + image_output(output.p, output.columns.place(0).image);
    float* const own = buffer + lane / 4 % CHANNELS * ROW + lane % 4 * 2;
    float check = 0.0f;  // NaN as soon as one result is not finite
#pragma unroll
    for (int part = 0; part < OUTPUT::ROWS / CHANNELS; ++part) {
      __syncwarp();
      if (lane / 16 == part % 2) {
        const float factor = part < 2 ? factors.first : factors.second;
        const float bias = part < 2 ? factors.first_bias : factors.second_bias;
#pragma unroll
        for (int j = 0; j < PLACES / 8; ++j) {
          const float* const of = results[j] + (part < 2 ? 0 : 2);
          *reinterpret_cast<float2*>(own + 8 * j) = make_float2(fmaf(of[0], factor, bias), fmaf(of[1], factor, bias));
        }
      }
      __syncwarp();
      const int channel = output.channel + part * CHANNELS;
#pragma unroll 1
      for (int i = lane; i < PLACES; i += 32) {
        const Place place = places[i];
        if (place.offset < 0) continue;
        float* const to = y + place.offset + channel * plane;
        float values[CHANNELS], added[CHANNELS] = {};
#pragma unroll
        for (int row = 0; row < CHANNELS; ++row) values[row] = buffer[row * ROW + place.column];
        if (output.epilogue.has_more()) {
#pragma unroll
          for (int row = 0; row < CHANNELS; ++row) {
            if (channel + row < output.end) added[row] = output.epilogue.residual_at(to - output.y + row * plane);
          }
#pragma unroll
          for (int row = 0; row < CHANNELS; ++row) values[row] = output.epilogue.after(values[row], added[row]);
        }
#pragma unroll
        for (int row = 0; row < CHANNELS; ++row) {
          if (channel + row >= output.end) break;
          to[row * plane] = values[row];
          check = fmaf(values[row], 0.0f, check);
        }
      }
    }
    return check == 0.0f;
  }
};
