// Places of the engine's input as places of the picture: x of the input is x of the picture times
// the scale, less where the input begins.
#pragma once

#include "picture.hpp"

inline double scale_x(const Frame& frame) {
  return static_cast<double>(frame.place.width) / frame.width;
}
inline double scale_y(const Frame& frame) {
  return static_cast<double>(frame.place.height) / frame.height;
}
inline double picture_x(const Frame& frame, double x) { return (x + frame.place.left) / scale_x(frame); }
inline double picture_y(const Frame& frame, double y) { return (y + frame.place.top) / scale_y(frame); }
