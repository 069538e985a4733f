// FCOS: distances to a box's sides in strides, the root of class x centre-ness.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "maps.hpp"
#include "scores.hpp"
#include "settings.hpp"

inline Corners corners_at(const Outputs& outputs, const Map& map, int place) {
  const auto distance = [&](int side) {
    return std::max(value(outputs, map.box, place, side), 0.0f) * map.stride;
  };
  const float x = (place % map.width + settings::kCentre) * map.stride;
  const float y = (place / map.width + settings::kCentre) * map.stride;
  return {x - distance(0), y - distance(1), x + distance(2), y + distance(3)};
}

inline void find_scores(const Outputs& outputs, const Map& map, int place,
                        std::vector<float>& scores) {
  const float centred = probability(value(outputs, map.more, place, 0));
  for (int number = 0; number < settings::kClasses; ++number)
    scores[number] = std::sqrt(probability(value(outputs, map.scores, place, number)) * centred);
}
