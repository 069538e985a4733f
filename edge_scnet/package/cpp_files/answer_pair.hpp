// What is printed of a picture: the class that is said and the other, each with its probability.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "engine.hpp"
#include "names.hpp"
#include "picture.hpp"
#include "settings.hpp"
#include "shares.hpp"

struct Answer {
  static constexpr bool kHasTop = false;
  explicit Answer(const std::string& folder) : names(folder, "class") {}

  void print(Engine& engine, const Frame&, std::size_t) const {
    std::vector<double> values = engine.output(settings::kOutput);
    values.resize(settings::kColumns);
    bool is_one = false;
    double share = 0;
    if (settings::kColumns == 2) {
      share = shares_of(values)[1];
      is_one = settings::kHasLimit ? static_cast<float>(share) > settings::kLimit
                                   : static_cast<float>(values[1]) > static_cast<float>(values[0]);
    } else {
      const bool in_unit = all_in_unit(values);
      const float limit = settings::kHasLimit ? settings::kLimit : in_unit ? 0.5f : 0.0f;
      is_one = static_cast<float>(values[0]) > limit;
      share = limit > 0 && in_unit ? values[0] : sigmoid(values[0]);
    }
    const std::string one = names.of(1), zero = names.of(0);
    std::printf("%s %.1f %%, %s %.1f %%\n", (is_one ? one : zero).c_str(),
                100 * (is_one ? share : 1 - share), (is_one ? zero : one).c_str(),
                100 * (is_one ? 1 - share : share));
  }

  Names names;
};
