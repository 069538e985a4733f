// The class of a map's place: the channel with the largest value.
#pragma once

#include <vector>

#include "settings.hpp"

inline long long class_at(const std::vector<double>& values, int place) {
  const double* of_place = &values[settings::kOfPlace * place];
  int best = 0;
  for (int channel = 1; channel < settings::kMapChannels; ++channel)
    if (of_place[settings::kOfChannel * channel] > of_place[settings::kOfChannel * best]) best = channel;
  return best;
}
