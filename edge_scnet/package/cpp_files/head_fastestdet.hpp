// FastestDet: one map; each place has the score of its best class alone.
#pragma once

#include <cmath>
#include <vector>

#include "maps.hpp"
#include "scores.hpp"
#include "settings.hpp"

inline Corners corners_at(const Outputs& outputs, const Map& map, int place) {
  const auto box = [&](int column) { return value(outputs, map.box, place, column); };
  const int height = map.places / map.width;
  const double x = (place % map.width + double(std::tanh(box(0)))) / map.width * settings::kWidth;
  const double y = (place / map.width + double(std::tanh(box(1)))) / height * settings::kHeight;
  const float wide = sigmoid(box(2)) * settings::kWidth, high = sigmoid(box(3)) * settings::kHeight;
  return {x - wide / 2, y - high / 2, x + wide / 2, y + high / 2};
}

inline void find_scores(const Outputs& outputs, const Map& map, int place,
                        std::vector<float>& scores) {
  int best = 0;
  for (int number = 0; number < settings::kClasses; ++number) {
    scores[number] = probability(value(outputs, map.scores, place, number));
    if (scores[number] > scores[best]) best = number;
  }
  const float share = scores[best];
  std::fill(scores.begin(), scores.end(), 0.0f);
  const float objectness = probability(value(outputs, map.more, place, 0));
  scores[best] = std::pow(objectness, 0.6f) * std::pow(share, 0.4f);
}
