// What is printed of a picture: the values in the output's own units.
#pragma once

#include <algorithm>
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
    constexpr int kShown = std::min(settings::kColumns, 8);
    for (int i = 0; i < kShown; ++i) {
      if (i) std::printf(", ");
      if (settings::kColumns > 1) std::printf("value %d ", i);
      std::printf("%.6g", values[i]);
    }
    if (settings::kColumns > kShown) std::printf(", %d more", settings::kColumns - kShown);
    std::printf("\n");
  }
};
