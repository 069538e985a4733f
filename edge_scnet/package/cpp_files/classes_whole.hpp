// The class of a map's place: the number that stands there.
#pragma once

#include <vector>

inline long long class_at(const std::vector<double>& values, int place) {
  return static_cast<long long>(values[place]);
}
