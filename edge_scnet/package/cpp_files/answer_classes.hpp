// What is printed of a picture: the most probable classes, best first.
#pragma once

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

#include "engine.hpp"
#include "names.hpp"
#include "picture.hpp"
#include "shares.hpp"

struct Answer {
  static constexpr bool kHasTop = true;
  explicit Answer(const std::string& folder) : names(folder, "class") {}

  void print(Engine& engine, const Frame&, std::size_t top) const {
    const std::vector<double> shares = shares_of(engine.output(0));
    std::vector<std::size_t> order(shares.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return shares[a] > shares[b]; });
    for (std::size_t i = 0; i < std::min(top, order.size()); ++i)
      std::printf("%s%s %.1f %%", i ? ", " : "", names.of(order[i]).c_str(),
                  100 * shares[order[i]]);
    std::printf("\n");
  }

  Names names;
};
