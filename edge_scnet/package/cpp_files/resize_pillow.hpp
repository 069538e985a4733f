// Pictures resized as Pillow does it, to the code: along x and along y, with a filter that grows as
// the picture shrinks, its weights in fixed point of 22 bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "pixels.hpp"
#include "settings.hpp"

struct Taps {
  int first;
  std::vector<std::int32_t> weights;
};

// What each place of an axis that goes from one length to another is made of.
inline std::vector<Taps> taps_of(int from, int to) {
  const double scale = static_cast<double>(from) / to, grown = std::max(scale, 1.0);
  const double reach = settings::kReach * grown;
  std::vector<Taps> all;
  for (int place = 0; place < to; ++place) {
    const double centre = (place + 0.5) * scale;
    const int first = std::max(static_cast<int>(centre - reach + 0.5), 0);
    const int end = std::min(static_cast<int>(centre + reach + 0.5), from);
    std::vector<double> shares;
    double sum = 0;
    for (int at = first; at < end; ++at) {
      shares.push_back(settings::filter((at - centre + 0.5) * (1.0 / grown)));
      sum += shares.back();
    }
    Taps taps{first, {}};
    for (double share : shares) {
      if (sum != 0) share /= sum;
      taps.weights.push_back(static_cast<std::int32_t>(share * (1 << 22) + (share < 0 ? -0.5 : 0.5)));
    }
    all.push_back(taps);
  }
  return all;
}

// A picture resized along x or along y.
inline Picture resized_along(const Picture& from, int length, bool along_x) {
  if (length == (along_x ? from.width : from.height)) return from;
  const int width = along_x ? length : from.width, height = along_x ? from.height : length;
  const std::vector<Taps> taps = taps_of(along_x ? from.width : from.height, length);
  Picture out(width, height, from.channels);
  std::uint8_t* code = out.codes.data();
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int channel = 0; channel < from.channels; ++channel) {
        const Taps& all = taps[along_x ? x : y];
        std::int32_t sum = 1 << 21;
        int at = all.first;
        for (const std::int32_t weight : all.weights) {
          sum += weight * (along_x ? from.at(at, y, channel) : from.at(x, at, channel));
          ++at;
        }
        *code++ = static_cast<std::uint8_t>(std::clamp(sum >> 22, 0, 255));
      }
  return out;
}

inline Picture resized(const Picture& whole, int width, int height) {
  const int less_x = whole.width - width, less_y = whole.height - height;
  // Pillow 13; the versions before it always begin with x
  if (less_y > 0 && less_y > 2 * less_x)
    return resized_along(resized_along(whole, height, false), width, true);
  return resized_along(resized_along(whole, width, true), height, false);
}
