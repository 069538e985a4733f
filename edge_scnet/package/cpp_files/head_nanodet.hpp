// NanoDet, NanoDet-Plus and GFL: distributions over the distances to a box's sides.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "maps.hpp"
#include "scores.hpp"
#include "settings.hpp"

inline Corners corners_at(const Outputs& outputs, const Map& map, int place) {
  float distances[4];
  for (int side = 0; side < 4; ++side) {
    const auto bin = [&](int i) {
      return value(outputs, map.box, place, side * settings::kBins + i);
    };
    float largest = bin(0), sum = 0, mean = 0;
    for (int i = 1; i < settings::kBins; ++i) largest = std::max(largest, bin(i));
    for (int i = 0; i < settings::kBins; ++i) sum += std::exp(bin(i) - largest);
    for (int i = 0; i < settings::kBins; ++i) mean += std::exp(bin(i) - largest) / sum * i;
    distances[side] = mean * map.stride;
  }
  const float x = (place % map.width + settings::kCentre) * map.stride;
  const float y = (place / map.width + settings::kCentre) * map.stride;
  return {x - distances[0], y - distances[1], x + distances[2], y + distances[3]};
}

inline void find_scores(const Outputs& outputs, const Map& map, int place,
                        std::vector<float>& scores) {
  for (int number = 0; number < settings::kClasses; ++number)
    scores[number] = probability(value(outputs, map.scores, place, number));
}
