// What is printed of a picture: how many values its vector has, their Euclidean norm, and the first.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "engine.hpp"
#include "picture.hpp"
#include "settings.hpp"

struct Answer {
  static constexpr bool kHasTop = false;
  explicit Answer(const std::string&) {}

  void print(Engine& engine, const Frame&, std::size_t) const {
    const std::vector<double> values = engine.output(settings::kOutput);
    double squares = 0;
    for (int i = 0; i < settings::kColumns; ++i) squares += values[i] * values[i];
    std::printf("%d values of norm %.4g:", settings::kColumns, std::sqrt(squares));
    constexpr int kShown = std::min(settings::kColumns, 8);
    for (int i = 0; i < kShown; ++i) std::printf(" %.4g", values[i]);
    std::printf("%s\n", settings::kColumns > kShown ? " ..." : "");
  }
};
