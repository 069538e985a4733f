// Pictures as the engine takes them: read, turned, resized, cut or padded, and made numbers, with
// the values of settings.hpp and in the order in which the build did it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "resize.hpp"
#include "settings.hpp"

#ifdef WITH_OPENCV
#include <opencv2/imgcodecs.hpp>
#else
#define STB_IMAGE_IMPLEMENTATION
#define STBI_NO_HDR
#include <stb_image.h>
#endif

// The codes of a file, RGB or grey. Pictures of 16 bits and transparent ones are refused.
inline Picture read(const std::string& path) {
  const auto refuse = [&] {
    return std::runtime_error(path + ": only pictures of 8 bits without transparency are read");
  };
  if (!std::ifstream(path)) throw std::runtime_error(path + ": it cannot be opened");
#ifdef WITH_OPENCV
  const cv::Mat raw = cv::imread(path, cv::IMREAD_UNCHANGED);
  if (raw.empty()) throw std::runtime_error(path + ": not a picture that OpenCV reads");
  if (raw.depth() != CV_8U || raw.channels() % 2 == 0) throw refuse();
  const int flags = cv::IMREAD_COLOR | (settings::kTurn ? 0 : cv::IMREAD_IGNORE_ORIENTATION);
  const cv::Mat decoded = cv::imread(path, flags);
  const int width = decoded.cols, height = decoded.rows, red = 2, blue = 0;
  const auto row = [&](int y) { return decoded.ptr<std::uint8_t>(y); };
#else
  int width = 0, height = 0, channels = 0;
  if (!stbi_info(path.c_str(), &width, &height, &channels))
    throw std::runtime_error(path + ": " + stbi_failure_reason());
  if (stbi_is_16_bit(path.c_str()) || channels % 2 == 0) throw refuse();
  std::uint8_t* decoded = stbi_load(path.c_str(), &width, &height, &channels, 3);
  if (!decoded) throw std::runtime_error(path + ": " + stbi_failure_reason());
  const int red = 0, blue = 2;
  const auto row = [&](int y) { return decoded + std::size_t(3) * width * y; };
#endif
  Picture picture(width, height, settings::kGrey ? 1 : 3);
  std::uint8_t* code = picture.codes.data();
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const std::uint8_t* from = row(y) + 3 * x;
      if (settings::kGrey) {  // ITU-R 601, in Pillow's fixed point
        *code++ = (19595u * from[red] + 38470u * from[1] + 7471u * from[blue] + 0x8000u) >> 16;
      } else {
        *code++ = from[settings::kBgr ? blue : red];
        *code++ = from[1];
        *code++ = from[settings::kBgr ? red : blue];
      }
    }
#ifndef WITH_OPENCV
  stbi_image_free(decoded);
#endif
  return picture;
}

// The number that the engine takes for a code.
inline float number_of(int code, int channel) {
  float value = static_cast<float>(code);
  if (settings::kPixelMax != 255.0f) value /= 255.0f;
  if (settings::kPixelMax != 255.0f && settings::kPixelMax != 1.0f) value *= settings::kPixelMax;
  return (value - settings::kMean[channel]) / settings::kStd[channel];
}

// How a picture of a size lies in the engine's input.
struct Frame {
  int width, height;
  Place place;
};

// Fills the engine's input with a picture, as many times as its batch is.
inline Frame prepare(const std::string& path, void* input, std::size_t bytes) {
  constexpr int kChannels = settings::kChannels, kWidth = settings::kWidth, kHeight = settings::kHeight;
  constexpr std::size_t kPlane = std::size_t(kWidth) * kHeight, kValues = kPlane * kChannels;
  const std::size_t one = kValues * (settings::kTakesCodes ? 1 : sizeof(float));
  if (bytes != one * settings::kBatch)
    throw std::runtime_error("the engine's input has " + std::to_string(bytes) + " bytes, not the " +
                             std::to_string(one * settings::kBatch) + " that settings.hpp says");
  const Picture whole = read(path);
  const Place place = placed(path, whole.width, whole.height);
  const Picture scaled = resized(whole, place.width, place.height);

  std::vector<float> numbers[kChannels];
  for (int channel = 0; channel < kChannels; ++channel)
    for (int code = 0; code < 256; ++code) numbers[channel].push_back(number_of(code, channel));
  auto* codes = static_cast<std::uint8_t*>(input);
  auto* values = static_cast<float*>(input);
  for (int y = 0; y < kHeight; ++y)
    for (int x = 0; x < kWidth; ++x) {
      const int from_x = x + place.left, from_y = y + place.top;
      const bool inside =
          from_x >= 0 && from_y >= 0 && from_x < scaled.width && from_y < scaled.height;
      for (int channel = 0; channel < kChannels; ++channel) {
        const int code = inside ? scaled.at(from_x, from_y, channel) : settings::kPad[channel];
        const std::size_t pixel = std::size_t(y) * kWidth + x;
        const std::size_t at =
            settings::kChannelsLast ? pixel * kChannels + channel : kPlane * channel + pixel;
        if (settings::kTakesCodes)
          codes[at] = static_cast<std::uint8_t>(code);
        else
          values[at] = numbers[channel][code];
      }
    }
  for (int sample = 1; sample < settings::kBatch; ++sample)
    std::memcpy(codes + one * sample, codes, one);
  return {whole.width, whole.height, place};
}
