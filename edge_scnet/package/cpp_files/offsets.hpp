// Boxes as YOLOX and YuNet give them: offsets of the centre and the logarithm of sides, in strides.
#pragma once

#include <algorithm>
#include <cmath>

#include "maps.hpp"

inline Corners corners_at(const Outputs& outputs, const Map& map, int place) {
  const auto box = [&](int column) { return value(outputs, map.box, place, column); };
  const auto side = [&](int column) { return std::exp(std::min(box(column), 12.0f)) * map.stride; };
  const float x = static_cast<float>(place % map.width), y = static_cast<float>(place / map.width);
  return around((x + box(0)) * map.stride, (y + box(1)) * map.stride, side(2), side(3));
}
