// Pictures of the size that they are scaled to: this program does not resize.
#pragma once

#include <stdexcept>
#include <string>

#include "pixels.hpp"

inline Picture resized(const Picture& whole, int width, int height) {
  if (width != whole.width || height != whole.height)
    throw std::runtime_error("a picture of " + std::to_string(width) + " x " + std::to_string(height) +
                             " is needed: this program does not resize");
  return whole;
}
