// SSD, RFB, UltraFace: scores and boxes that the network decodes, in two outputs.
#pragma once

#include <vector>

#include "maps.hpp"
#include "scores.hpp"
#include "settings.hpp"

inline Corners corners_at(const Outputs& outputs, const Map& map, int place) {
  const auto box = [&](int column) {
    return value(outputs, map.box, place, column) * settings::kBoxScale[column % 2];
  };
  if (settings::kCentred) return around(box(0), box(1), box(2), box(3));
  return {box(0), box(1), box(2), box(3)};
}

inline void find_scores(const Outputs& outputs, const Map& map, int place,
                        std::vector<float>& scores) {
  for (int number = 0; number < settings::kClasses; ++number)
    scores[number] = probability(value(outputs, map.scores, place, number));
}
