// Runs pictures through the engine of this package and prints what it says of them.
//
//   run [--top N] [--benchmark SECONDS] [--folder DIR] PICTURE...
//
// --top is there for classifiers: how many classes are printed, five by default.
// --benchmark times the inference alone, after a second of warming up, and prints the median.
// --folder is where the engine and its class names lie; by default where CMake found them.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "answer.hpp"
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
    const bool is_top = word == "--top" && Answer::kHasTop;
    if (is_top || word == "--benchmark" || word == "--folder") ++i;
    if (is_top)
      asked.top = static_cast<std::size_t>(std::max(1.0, number(word, next)));
    else if (word == "--benchmark")
      asked.seconds = number(word, next);
    else if (word == "--folder" && next)
      asked.folder = next;
    else if (word.rfind("--", 0) == 0)
      throw std::runtime_error(word + ": there are " + (Answer::kHasTop ? "--top N, " : "") +
                               "--benchmark SECONDS and --folder DIR");
    else
      asked.pictures.push_back(word);
  }
  if (asked.pictures.empty() && asked.seconds == 0)
    throw std::runtime_error(std::string("usage: run") + (Answer::kHasTop ? " [--top N]" : "") +
                             " [--benchmark SECONDS] [--folder DIR] PICTURE...");
  return asked;
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
    const Answer answer(asked.folder);
    Engine engine(asked.folder + "/" + settings::kEngine);
    for (const std::string& path : asked.pictures) {
      const Frame frame = prepare(path, engine.input(), engine.input_bytes());
      engine.infer();
      std::printf("%s: ", path.c_str());
      answer.print(engine, frame, asked.top);
    }
    if (asked.seconds > 0) benchmark(engine, asked.seconds);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
