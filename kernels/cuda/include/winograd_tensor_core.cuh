// Winograd's minimal filtering down the columns, F(OUTPUTS, KERNEL_H): its transforms, and where a strip of outputs lies.
// A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016.
#pragma once
#include "position_descriptor.cuh"

// A strip is OUTPUTS outputs, one above the other. It takes PRODUCTS values of X, as many of the filter's column made from
// its KERNEL_H, and the products of the two, one by one:
// outputs = output * ((filter * weights) x (input * values)). By Cook and Toom's construction a product is two
// polynomials' at a point, the last one's at infinity. Points are 0 and powers of two and their negatives, so that `input`
// and `output` are exact in FP32; those here lose least.
template <int OUTPUTS, int KERNEL_H>
struct Winograd {
  static constexpr int PRODUCTS = OUTPUTS + KERNEL_H - 1;
  double output[OUTPUTS][PRODUCTS] = {}, filter[PRODUCTS][KERNEL_H] = {}, input[PRODUCTS][PRODUCTS] = {};
  // As an exponent of two, how much larger than the largest value of X those that `input` makes can be, but for a factor
  // of less than two.
  int headroom = 0;
  // How many times larger than the largest weight of a column those that `filter` makes can be.
  double growth = 0.0;

  __device__ constexpr Winograd() {
    constexpr double POINTS[] = {0.0, 1.0, -1.0, 0.5, -2.0, 2.0, -0.5};
    constexpr int LAST = PRODUCTS - 1;
    static_assert(LAST <= sizeof(POINTS) / sizeof(POINTS[0]), "a point for each product but the last");
    for (int product = 0; product < LAST; ++product) {
      double power = 1.0, scale = 1.0;
      for (int other = 0; other < LAST; ++other) scale *= other == product ? 1.0 : POINTS[product] - POINTS[other];
      for (int i = 0; i < OUTPUTS || i < KERNEL_H; ++i, power *= POINTS[product]) {
        if (i < OUTPUTS) output[i][product] = power;
        if (i < KERNEL_H) filter[product][i] = power / scale;
      }
    }
    output[OUTPUTS - 1][LAST] = filter[LAST][KERNEL_H - 1] = 1.0;
    for (int product = 0; product <= LAST; ++product) {
      double sum = 0.0;
      for (double coefficient : filter[product]) sum += coefficient < 0.0 ? -coefficient : coefficient;
      if (sum > growth) growth = sum;
    }
    // The coefficients of the polynomial with all points as its zeros, but for the product's own.
    for (int product = 0; product <= LAST; ++product) {
      input[product][0] = 1.0;
      for (int point = 0; point < LAST; ++point) {
        if (point == product) continue;
        for (int i = LAST; i >= 0; --i) {
          input[product][i] = (i > 0 ? input[product][i - 1] : 0.0) - POINTS[point] * input[product][i];
        }
      }
      double sum = 0.0;
      for (double coefficient : input[product]) sum += coefficient < 0.0 ? -coefficient : coefficient;
      while ((2 << headroom) <= sum) ++headroom;
    }
  }

  // A product's value in channel k, from those of X under a strip.
  __device__ constexpr float transform(int product, const float (&values)[PRODUCTS][CHUNK], int k) const {
    float sum = 0.0f;
    bool begun = false;
#pragma unroll
    for (int i = 0; i < PRODUCTS; ++i) {
      const float coefficient = input[product][i];
      if (coefficient == 0.0f) continue;
      sum = begun ? fmaf(values[i][k], coefficient, sum) : values[i][k] * coefficient;
      begun = true;
    }
    return sum;
  }
};

// Neighbouring positions that share a scale, and the windows that lie wholly in them: sums over taps have one scale. A
// producer's positions are those of a warp. In device memory all N of a consumer are one group, with those that their windows
// reach besides.
template <int KERNEL, int N, bool IN_MEMORY>
struct ScaleGroup {
  static_assert(IN_MEMORY || N % EPILOGUE_COLUMNS == 0, "whole groups");
  static constexpr int COLUMNS = IN_MEMORY ? N : EPILOGUE_COLUMNS, WINDOWS = COLUMNS - (IN_MEMORY ? 0 : KERNEL - 1);
};

// Where a place lies: a column of the padded X, under a strip of OUTPUTS rows. Places behind the last strip are in no image.
template <int OUTPUTS>
struct StripPlace {
  int column, image, first_row;  // first_row: of the outputs
  __device__ StripPlace(FastDivision by_pitch, FastDivision by_strips, int place) {
    const int line = by_pitch.quotient(place);
    column = place - line * by_pitch.divisor;
    image = by_strips.quotient(line);
    first_row = (line - image * by_strips.divisor) * OUTPUTS;
  }
};

// The columns of a consumer's results, for WarpOutput: N in each row of the strips, which are the positions of groups from
// the first one on.
template <int OUTPUTS, int N, class GROUP>
struct StripRows {
  const Problem& p;
  FastDivision by_pitch, by_strips;
  int first_group;
  __device__ StripPlace<OUTPUTS> place(int column) const {
    const int group = first_group + column % N / GROUP::COLUMNS;
    return {by_pitch, by_strips, group * GROUP::WINDOWS + column % N % GROUP::COLUMNS};
  }
  __device__ bool is_output(int column) const {
    const StripPlace<OUTPUTS> at = place(column);
    return column % N % GROUP::COLUMNS < GROUP::WINDOWS && at.image < p.batch && at.column < p.out_width &&
           at.first_row + column / N < p.out_height;
  }
  __device__ long long output_index(int column) const {
    const StripPlace<OUTPUTS> at = place(column);
    return static_cast<long long>(at.image) * p.out_channels * p.pixels_per_image() +
           (at.first_row + column / N) * p.out_width + at.column;
  }
  __device__ Pixel pixel(int column) const {
    const StripPlace<OUTPUTS> at = place(column);
    return {at.image, at.first_row + column / N, at.column};
  }
};
