// The class of a map's place: 1 where its value is above the limit, else 0.
#pragma once

#include <vector>

#include "settings.hpp"

inline long long class_at(const std::vector<double>& values, int place) {
  return static_cast<float>(values[place]) > settings::kLimit;
}
