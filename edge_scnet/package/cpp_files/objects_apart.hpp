// The objects of a detector's outputs: the boxes of head.hpp that score high enough, and of two of a
// class that share much the better one.
#pragma once

#include <algorithm>
#include <vector>

#include "head.hpp"
#include "maps.hpp"
#include "settings.hpp"

struct Object {
  Corners corners;
  float score;
  std::size_t number;  // of its class
};

// Whether two boxes share more than kNmsIou of their union.
inline bool share_much(const Corners& a, const Corners& b) {
  const double width = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
  const double height = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
  const double shared = std::max(width, 0.0) * std::max(height, 0.0);
  const double of_a = (a.x2 - a.x1) * (a.y2 - a.y1), of_b = (b.x2 - b.x1) * (b.y2 - b.y1);
  return !(shared <= settings::kNmsIou * (of_a + of_b - shared));
}

inline std::vector<Object> objects(const Outputs& outputs) {
  std::vector<Object> all;
  std::vector<float> scores(settings::kClasses);
  for (const Map& map : settings::kMaps)
    for (int place = 0; place < map.places; ++place) {
      find_scores(outputs, map, place, scores);
      for (int number = 0; number < settings::kClasses; ++number)
        if (scores[number] >= settings::kLeast)
          all.push_back({corners_at(outputs, map, place), scores[number], std::size_t(number)});
    }
  // of equal scores the one that comes first is the better
  std::stable_sort(all.begin(), all.end(),
                   [](const Object& a, const Object& b) { return a.score > b.score; });
  if (all.size() > settings::kCandidates) all.resize(settings::kCandidates);
  std::vector<Object> kept;
  for (const Object& each : all) {
    if (kept.size() == settings::kMost) break;
    const bool stays = std::none_of(kept.begin(), kept.end(), [&](const Object& better) {
      return better.number == each.number && share_much(better.corners, each.corners);
    });
    if (stays) kept.push_back(each);
  }
  return kept;
}
