// Points as the highest places of maps, in pixels of the engine's input: a quarter of a place
// towards the higher neighbour.
#pragma once

#include <algorithm>
#include <vector>

#include "settings.hpp"

struct Point {
  double x, y;
};

inline std::vector<Point> points_in(const std::vector<double>& values) {
  constexpr int kWide = settings::kMapWidth, kHigh = settings::kMapHeight;
  std::vector<Point> points;
  for (int point = 0; point < settings::kPoints; ++point) {
    // beyond the edge lies what lies at it
    const auto at = [&](int x, int y) {
      const int place = std::clamp(y, 0, kHigh - 1) * kWide + std::clamp(x, 0, kWide - 1);
      return values[settings::kOfPoint * point + settings::kOfPlace * place];
    };
    int best_x = 0, best_y = 0;
    for (int y = 0; y < kHigh; ++y)
      for (int x = 0; x < kWide; ++x)
        if (at(x, y) > at(best_x, best_y)) best_x = x, best_y = y;
    const auto sign = [](double value) { return double(value > 0) - double(value < 0); };
    const double x = best_x + 0.5 + 0.25 * sign(at(best_x + 1, best_y) - at(best_x - 1, best_y));
    const double y = best_y + 0.5 + 0.25 * sign(at(best_x, best_y + 1) - at(best_x, best_y - 1));
    points.push_back({x * settings::kWidth / kWide, y * settings::kHeight / kHigh});
  }
  return points;
}
