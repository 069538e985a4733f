// The names of classes or labels: a line each in labels.txt, and a number where there is none.
#pragma once

#include <cstddef>
#include <fstream>
#include <string>
#include <vector>

class Names {
 public:
  // kind: what stands in front of a number, "class" or "label"
  Names(const std::string& folder, const std::string& kind) : kind_(kind) {
    std::ifstream file(folder + "/labels.txt");
    for (std::string line; std::getline(file, line);) lines_.push_back(line);
  }

  std::string of(std::size_t index) const {
    return index < lines_.size() ? lines_[index] : kind_ + " " + std::to_string(index);
  }

 private:
  std::string kind_;
  std::vector<std::string> lines_;
};
