// YuNet: offsets and sides in strides, the root of class x objectness.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "maps.hpp"
#include "settings.hpp"

inline float probability(float score) {
  return settings::kLogits ? sigmoid(score) : std::clamp(score, 0.0f, 1.0f);
}

inline Corners corners_at(const Outputs& outputs, const Map& map, int place) {
  const auto box = [&](int column) { return value(outputs, map.box, place, column); };
  const auto side = [&](int column) { return std::exp(std::min(box(column), 12.0f)) * map.stride; };
  const float x = static_cast<float>(place % map.width), y = static_cast<float>(place / map.width);
  return around((x + box(0)) * map.stride, (y + box(1)) * map.stride, side(2), side(3));
}

inline void find_scores(const Outputs& outputs, const Map& map, int place,
                        std::vector<float>& scores) {
  const float objectness = probability(value(outputs, map.more, place, 0));
  for (int number = 0; number < settings::kClasses; ++number)
    scores[number] =
        std::sqrt(probability(value(outputs, map.scores, place, number)) * objectness);
}
