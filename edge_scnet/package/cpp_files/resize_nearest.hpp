// Pictures resized as Pillow's nearest does it.
#pragma once

#include "pixels.hpp"

inline Picture resized(const Picture& whole, int width, int height) {
  if (width == whole.width && height == whole.height) return whole;
  const auto places = [](int from, int to) {
    const double step = static_cast<double>(from) / to;
    std::vector<int> all;
    double at = step * 0.5;
    for (int place = 0; place < to; ++place, at += step) all.push_back(static_cast<int>(at));
    return all;
  };
  const std::vector<int> columns = places(whole.width, width), rows = places(whole.height, height);
  Picture out(width, height, whole.channels);
  std::uint8_t* code = out.codes.data();
  for (const int y : rows)
    for (const int x : columns)
      for (int channel = 0; channel < whole.channels; ++channel) *code++ = whole.at(x, y, channel);
  return out;
}
