// What is printed of a picture: what each class takes of the pixels that the map covers, the
// largest first.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "classes_of_map.hpp"
#include "engine.hpp"
#include "names.hpp"
#include "picture.hpp"
#include "placing.hpp"
#include "settings.hpp"

struct Answer {
  static constexpr bool kHasTop = false;
  explicit Answer(const std::string& folder) : names(folder, "class") {}

  void print(Engine& engine, const Frame& frame, std::size_t) const {
    const std::vector<double> values = engine.output(settings::kOutput);
    constexpr int kWide = settings::kMapWidth, kHigh = settings::kMapHeight;
    const std::vector<long long> columns =
        pixels_in(frame.width, scale_x(frame), frame.place.left, kWide, settings::kWidth);
    const std::vector<long long> rows =
        pixels_in(frame.height, scale_y(frame), frame.place.top, kHigh, settings::kHeight);
    std::map<long long, long long> pixels;  // by class
    long long all = 0;
    for (int y = 0; y < kHigh; ++y)
      for (int x = 0; x < kWide; ++x) {
        const long long number = class_at(values, y * kWide + x);
        if (number < 0) continue;
        pixels[number] += rows[y] * columns[x];
        all += rows[y] * columns[x];
      }
    std::vector<std::pair<long long, long long>> order(pixels.begin(), pixels.end());
    std::stable_sort(order.begin(), order.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    const char* before = "";
    for (const auto& [number, count] : order) {
      if (!count) break;
      std::printf("%s%s %.1f %%", before, names.of(number).c_str(), 100.0 * count / all);
      before = ", ";
    }
    std::printf("\n");
  }

  // How many pixels of an axis of the picture have their centre in each cell of the map.
  static std::vector<long long> pixels_in(int pixels, double scale, int left, int cells, int input) {
    std::vector<long long> counts(cells);
    const double ratio = static_cast<double>(cells) / input;
    for (int pixel = 0; pixel < pixels; ++pixel) {
      // a centre on the edge between two cells belongs to the later one, however it is rounded
      const double at = std::floor((pixel + 0.5) * (scale * ratio) - left * ratio + 1e-9);
      if (at >= 0 && at < cells) ++counts[static_cast<std::size_t>(at)];
    }
    return counts;
  }

  Names names;
};
