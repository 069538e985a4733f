// What is printed of a picture: the points of its object, x and y in pixels of the picture.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "engine.hpp"
#include "picture.hpp"
#include "placing.hpp"
#include "points.hpp"

struct Answer {
  static constexpr bool kHasTop = false;
  explicit Answer(const std::string&) {}

  void print(Engine& engine, const Frame& frame, std::size_t) const {
    const std::vector<Point> points = points_in(engine.output(settings::kOutput));
    std::printf("%zu points\n", points.size());
    for (std::size_t i = 0; i < points.size(); ++i)
      std::printf("  point %zu  %.1f, %.1f\n", i, picture_x(frame, points[i].x),
                  picture_y(frame, points[i].y));
  }
};
