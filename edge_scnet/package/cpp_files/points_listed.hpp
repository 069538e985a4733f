// Points as an output lists them, in pixels of the engine's input.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "settings.hpp"

struct Point {
  double x, y;
};

inline std::vector<Point> points_in(const std::vector<double>& values) {
  std::vector<Point> points(settings::kPoints);
  double largest = 0;
  for (int i = 0; i < settings::kPoints; ++i) {
    points[i] = {values[i * settings::kOfPoint], values[i * settings::kOfPoint + settings::kOfY]};
    largest = std::max({largest, std::abs(points[i].x), std::abs(points[i].y)});
  }
  const bool in_unit = settings::kUnit == settings::Unit::input ||
                       (settings::kUnit == settings::Unit::told && largest <= 2);
  if (in_unit)
    for (Point& point : points) point = {point.x * settings::kWidth, point.y * settings::kHeight};
  return points;
}
