// Runs pictures through the engine of this package and prints what it says of them.
//
//   run [--top N] [--benchmark SECONDS] [--folder DIR] PICTURE...
//
// --benchmark times the inference alone, after a second of warming up, and prints the median.
// --folder is where the engine and its class names lie; by default where CMake found them.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine.hpp"
#include "picture.hpp"
#include "settings.hpp"

namespace {

struct Asked {
  std::string folder = PACKAGE_FOLDER;
  std::vector<std::string> pictures;
  std::size_t top = 5;
  double seconds = 0;  // of the benchmark; 0: none
};

double number(const std::string& option, const char* text) {
  char* end = nullptr;
  const double value = text ? std::strtod(text, &end) : 0;
  if (!text || *end || !(value > 0) || value > 1e6)
    throw std::runtime_error(option + " needs a number above 0");
  return value;
}

Asked parsed(int count, char** words) {
  Asked asked;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    const char* next = i + 1 < count ? words[i + 1] : nullptr;
    if (word == "--top" || word == "--benchmark" || word == "--folder") ++i;
    if (word == "--top")
      asked.top = static_cast<std::size_t>(std::max(1.0, number(word, next)));
    else if (word == "--benchmark")
      asked.seconds = number(word, next);
    else if (word == "--folder" && next)
      asked.folder = next;
    else if (word.rfind("--", 0) == 0)
      throw std::runtime_error(word + ": there are --top N, --benchmark SECONDS and --folder DIR");
    else
      asked.pictures.push_back(word);
  }
  if (asked.pictures.empty() && asked.seconds == 0)
    throw std::runtime_error("usage: run [--top N] [--benchmark SECONDS] [--folder DIR] PICTURE...");
  return asked;
}

std::vector<std::string> labels_in(const std::string& folder) {
  std::vector<std::string> labels;
  std::ifstream file(folder + "/labels.txt");
  for (std::string line; std::getline(file, line);) labels.push_back(line);
  return labels;
}

// The most probable classes, best first. Scores that are no probabilities yet go through softmax.
void print_classes(std::vector<double> scores, const std::vector<std::string>& labels,
                   std::size_t top) {
  const double sum = std::accumulate(scores.begin(), scores.end(), 0.0);
  if (*std::min_element(scores.begin(), scores.end()) < 0 || std::abs(sum - 1) > 1e-3) {
    const double largest = *std::max_element(scores.begin(), scores.end());
    for (double& score : scores) score = std::exp(score - largest);
    const double whole = std::accumulate(scores.begin(), scores.end(), 0.0);
    for (double& score : scores) score /= whole;
  }
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  for (std::size_t i = 0; i < std::min(top, order.size()); ++i) {
    const std::size_t index = order[i];
    const std::string name =
        index < labels.size() ? labels[index] : "class " + std::to_string(index);
    std::printf("%s%s %.1f %%", i ? ", " : "", name.c_str(), 100 * scores[index]);
  }
  std::printf("\n");
}

// The outputs as they are: this program does not decode them.
void print_outputs(Engine& engine) {
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

void benchmark(Engine& engine, double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto timed = [&](double limit, std::size_t least) {
    std::vector<double> times;
    const auto begin = Clock::now();
    while (times.size() < least || std::chrono::duration<double>(Clock::now() - begin).count() < limit) {
      const auto start = Clock::now();
      engine.infer();
      times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
    }
    std::sort(times.begin(), times.end());
    return times;
  };
  timed(1, 10);
  const std::vector<double> times = timed(seconds, 10);
  const auto at = [&](double share) { return times[static_cast<std::size_t>(share * (times.size() - 1))]; };
  std::printf("inference: median %.4f ms, least %.4f ms, p90 %.4f ms, %zu runs, batch %d\n", at(0.5),
              at(0), at(0.9), times.size(), settings::kBatch);
}

}  // namespace

int main(int count, char** words) {
  try {
    const Asked asked = parsed(count, words);
    const std::vector<std::string> labels = labels_in(asked.folder);
    Engine engine(asked.folder + "/" + settings::kEngine);
    for (const std::string& path : asked.pictures) {
      prepare(path, engine.input(), engine.input_bytes());
      engine.infer();
      std::printf("%s: ", path.c_str());
      if (settings::kClasses)
        print_classes(engine.output(0), labels, asked.top);
      else
        print_outputs(engine);
    }
    if (asked.seconds > 0) benchmark(engine, asked.seconds);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
