// YuNet: offsets and sides in strides, the root of class x objectness.
#pragma once

#include <cmath>
#include <vector>

#include "maps.hpp"
#include "offsets.hpp"
#include "scores.hpp"
#include "settings.hpp"

inline void find_scores(const Outputs& outputs, const Map& map, int place,
                        std::vector<float>& scores) {
  const float objectness = probability(value(outputs, map.more, place, 0));
  for (int number = 0; number < settings::kClasses; ++number)
    scores[number] =
        std::sqrt(probability(value(outputs, map.scores, place, number)) * objectness);
}
