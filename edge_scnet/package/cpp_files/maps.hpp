// Where a detector's outputs have the values of a place of a feature map.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

using Outputs = std::vector<std::vector<float>>;

// Values of an output: the first of a map, and the steps to the next place and to the next column.
struct View {
  std::size_t output, first, of_place, of_column;
};

// A feature map: the pixels from one place to the next, how many there are in a row and in all, and
// its values. Of a head that the network decodes it is all rows.
struct Map {
  float stride;
  int width, places;
  View scores, box, more;
};

struct Corners {
  double x1, y1, x2, y2;
};

inline float value(const Outputs& outputs, const View& view, int place, int column) {
  return outputs[view.output][view.first + view.of_place * place + view.of_column * column];
}

inline Corners around(float x, float y, float width, float height) {
  return {x - width / 2, y - height / 2, x + width / 2, y + height / 2};
}

// 1 / (1 + exp(-x)), which overflows nowhere.
inline float sigmoid(float x) { return 0.5f + 0.5f * std::tanh(0.5f * x); }
