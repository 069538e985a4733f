// YOLOX: offsets and sides in strides, objectness x class.
#pragma once

#include <vector>

#include "maps.hpp"
#include "offsets.hpp"
#include "scores.hpp"
#include "settings.hpp"

inline void find_scores(const Outputs& outputs, const Map& map, int place,
                        std::vector<float>& scores) {
  const float objectness = probability(value(outputs, map.more, place, 0));
  for (int number = 0; number < settings::kClasses; ++number)
    scores[number] = objectness * probability(value(outputs, map.scores, place, number));
}
