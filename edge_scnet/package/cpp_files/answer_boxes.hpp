// What is printed of a picture: the objects, best first, each with its class, its score, and x1, y1,
// x2, y2 in pixels of the picture.
#pragma once

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "engine.hpp"
#include "names.hpp"
#include "objects.hpp"
#include "picture.hpp"
#include "placing.hpp"
#include "settings.hpp"

struct Answer {
  static constexpr bool kHasTop = false;
  explicit Answer(const std::string& folder) : names(folder, "class") {}

  void print(Engine& engine, const Frame& frame, std::size_t) const {
    Outputs outputs(engine.outputs());
    for (const std::size_t number : settings::kRead) {
      const std::vector<double> values = engine.output(number);
      outputs[number].assign(values.begin(), values.end());
    }
    const std::vector<Object> found = objects(outputs);
    std::printf("%zu object%s%s\n", found.size(), found.size() == 1 ? "" : "s",
                found.size() == 1 ? settings::kScoresOfOne : settings::kScoresOfMore);
    for (const Object& object : found) {
      const float x1 = at_x(frame, object.corners.x1), y1 = at_y(frame, object.corners.y1);
      const float x2 = at_x(frame, object.corners.x2), y2 = at_y(frame, object.corners.y2);
      std::printf("  %s %.1f %%  %.1f, %.1f, %.1f, %.1f\n", names.of(object.number).c_str(),
                  100.0 * object.score, x1, y1, x2, y2);
    }
  }

  // In pixels of the picture, cut off at its edges.
  static float at_x(const Frame& frame, double x) {
    return static_cast<float>(
        std::clamp(picture_x(frame, static_cast<float>(x)), 0.0, double(frame.width)));
  }
  static float at_y(const Frame& frame, double y) {
    return static_cast<float>(
        std::clamp(picture_y(frame, static_cast<float>(y)), 0.0, double(frame.height)));
  }

  Names names;
};
