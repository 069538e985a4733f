// The objects of a detector that suppresses within the network: rows of x1, y1, x2, y2, score and
// class.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "maps.hpp"
#include "scores.hpp"
#include "settings.hpp"

struct Object {
  Corners corners;
  float score;
  std::size_t number;  // of its class
};

inline std::vector<Object> objects(const Outputs& outputs) {
  const std::vector<float>& values = outputs[settings::kOutput];
  std::vector<Object> found;
  for (std::size_t row = 0; row + 6 <= values.size(); row += 6) {
    const float* of_row = &values[row];
    const float score = probability(of_row[4]);
    if (score >= settings::kLeast)
      found.push_back({{of_row[0], of_row[1], of_row[2], of_row[3]},
                       score,
                       static_cast<std::size_t>(std::max(std::nearbyint(of_row[5]), 0.0f))});
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const Object& a, const Object& b) { return a.score > b.score; });
  if (found.size() > settings::kMost) found.resize(settings::kMost);
  return found;
}
