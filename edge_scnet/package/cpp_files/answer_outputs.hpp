// What is printed of a picture: the outputs as they are, for this program does not decode them.
#pragma once

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

#include "engine.hpp"
#include "picture.hpp"

struct Answer {
  static constexpr bool kHasTop = false;
  explicit Answer(const std::string&) {}

  void print(Engine& engine, const Frame&, std::size_t) const {
    std::printf("%zu output%s, not decoded\n", engine.outputs(), engine.outputs() > 1 ? "s" : "");
    for (std::size_t i = 0; i < engine.outputs(); ++i) {
      const std::vector<double> values = engine.output(i);
      if (values.empty()) continue;
      const auto [low, high] = std::minmax_element(values.begin(), values.end());
      const double mean = std::accumulate(values.begin(), values.end(), 0.0) / values.size();
      std::printf("  output %zu  %s, %.4g to %.4g, mean %.4g\n", i, engine.shape(i).c_str(), *low,
                  *high, mean);
    }
  }
};
