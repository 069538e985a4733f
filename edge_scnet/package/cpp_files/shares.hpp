// Scores as probabilities.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

// Of classes that exclude each other. Scores that are no probabilities yet go through softmax.
inline std::vector<double> shares_of(std::vector<double> scores) {
  const double sum = std::accumulate(scores.begin(), scores.end(), 0.0);
  if (*std::min_element(scores.begin(), scores.end()) < 0 || std::abs(sum - 1) > 1e-3) {
    const double largest = *std::max_element(scores.begin(), scores.end());
    for (double& score : scores) score = std::exp(score - largest);
    const double whole = std::accumulate(scores.begin(), scores.end(), 0.0);
    for (double& score : scores) score /= whole;
  }
  return scores;
}

// 1 / (1 + exp(-x)), which overflows nowhere.
inline double sigmoid(double x) { return 0.5 + 0.5 * std::tanh(0.5 * x); }

inline bool all_in_unit(const std::vector<double>& scores) {
  return std::all_of(scores.begin(), scores.end(), [](double s) { return s >= 0 && s <= 1; });
}
