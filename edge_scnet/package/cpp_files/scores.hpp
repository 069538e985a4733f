// What a detector's scores mean.
#pragma once

#include <algorithm>

#include "maps.hpp"
#include "settings.hpp"

inline float probability(float score) {
  return settings::kLogits ? sigmoid(score) : std::clamp(score, 0.0f, 1.0f);
}
