// What is printed of a picture: the labels that apply, the surest first; where none does, the one
// that is nearest to it.
#pragma once

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

#include "engine.hpp"
#include "names.hpp"
#include "picture.hpp"
#include "settings.hpp"
#include "shares.hpp"

struct Answer {
  static constexpr bool kHasTop = false;
  explicit Answer(const std::string& folder) : names(folder, "label") {}

  void print(Engine& engine, const Frame&, std::size_t) const {
    std::vector<double> scores = engine.output(settings::kOutput);
    scores.resize(settings::kColumns);
    const bool in_unit = all_in_unit(scores);
    const float limit = settings::kHasLimit ? settings::kLimit : in_unit ? 0.5f : 0.0f;
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
    const auto say = [&](std::size_t index, const char* before) {
      const double share = limit > 0 && in_unit ? scores[index] : sigmoid(scores[index]);
      std::printf("%s%s %.1f %%", before, names.of(index).c_str(), 100 * share);
    };
    std::size_t applying = 0;
    for (const std::size_t index : order)
      if (static_cast<float>(scores[index]) > limit) say(index, applying++ ? ", " : "");
    if (!applying) say(order[0], "no label applies; ");
    std::printf("\n");
  }

  Names names;
};
