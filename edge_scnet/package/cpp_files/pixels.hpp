// A picture in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

struct Picture {
  Picture(int width, int height, int channels)
      : width(width), height(height), channels(channels),
        codes(std::size_t(width) * height * channels) {}

  // of one channel the same for all
  std::uint8_t at(int x, int y, int channel) const {
    const std::size_t pixel = std::size_t(y) * width + x;
    return codes[pixel * channels + (channels == 1 ? 0 : channel)];
  }

  int width, height, channels;
  std::vector<std::uint8_t> codes;  // height x width x channels
};
