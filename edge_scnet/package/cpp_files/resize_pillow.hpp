// Pictures resized as Pillow does it: along x and then along y, each with a filter that grows as the
// picture shrinks, its weights in fixed point of 22 bits. Pillow 13 takes some tall pictures along y
// first: there a code may be one apart.
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

inline std::uint8_t code_of(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> 22, 0, 255));
}

inline Picture resized(const Picture& whole, int width, int height) {
  const int channels = whole.channels;
  Picture wide(width, whole.height, channels);
  if (width == whole.width) {
    wide = whole;
  } else {
    const std::vector<Taps> taps = taps_of(whole.width, width);
    for (int y = 0; y < whole.height; ++y)
      for (int x = 0; x < width; ++x)
        for (int channel = 0; channel < channels; ++channel) {
          std::int32_t sum = 1 << 21;
          int at = taps[x].first;
          for (const std::int32_t weight : taps[x].weights) sum += weight * whole.at(at++, y, channel);
          wide.codes[(std::size_t(y) * width + x) * channels + channel] = code_of(sum);
        }
  }
  if (height == whole.height) return wide;
  Picture out(width, height, channels);
  const std::vector<Taps> taps = taps_of(whole.height, height);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int channel = 0; channel < channels; ++channel) {
        std::int32_t sum = 1 << 21;
        int at = taps[y].first;
        for (const std::int32_t weight : taps[y].weights) sum += weight * wide.at(x, at++, channel);
        out.codes[(std::size_t(y) * width + x) * channels + channel] = code_of(sum);
      }
  return out;
}
