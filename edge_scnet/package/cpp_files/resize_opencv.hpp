// Pictures resized by OpenCV, as the build did it.
#pragma once

#include <cstring>
#include <opencv2/imgproc.hpp>

#include "pixels.hpp"
#include "settings.hpp"

inline Picture resized(const Picture& whole, int width, int height) {
  if (width == whole.width && height == whole.height) return whole;
  const int type = whole.channels == 1 ? CV_8UC1 : CV_8UC3;
  const cv::Mat from(whole.height, whole.width, type, const_cast<std::uint8_t*>(whole.codes.data()));
  Picture out(width, height, whole.channels);
  cv::Mat to(height, width, type, out.codes.data());
  cv::resize(from, to, to.size(), 0, 0, settings::kInterpolation);
  return out;
}
