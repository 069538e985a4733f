// YOLOv5, YOLOv8 and others that the network decodes: centre and size in pixels, scores.
#pragma once

#include <vector>

#include "maps.hpp"
#include "scores.hpp"
#include "settings.hpp"

inline Corners corners_at(const Outputs& outputs, const Map& map, int place) {
  const auto box = [&](int column) { return value(outputs, map.box, place, column); };
  return around(box(0), box(1), box(2), box(3));
}

inline void find_scores(const Outputs& outputs, const Map& map, int place,
                        std::vector<float>& scores) {
  const float objectness =
      settings::kHasObjectness ? probability(value(outputs, map.more, place, 0)) : 1.0f;
  for (int number = 0; number < settings::kClasses; ++number)
    scores[number] = objectness * probability(value(outputs, map.scores, place, number));
}
