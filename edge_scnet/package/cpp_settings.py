"""settings.hpp of a C++ package: the numbers of a build's manifest as C++ constants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edge_scnet.__about__ import __version__
from edge_scnet.core.preprocessing import Preprocessing
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.resize import OPENCV_METHODS
from edge_scnet.package.cpp_answer import answer_includes, answer_settings, float_text
from edge_scnet.package.facts import PackageFacts
from edge_scnet.package.geometry import box_of, pads_of
from edge_scnet.package.reading import Reading

# A filter of Pillow's by interpolation: how far it reaches, and its value at x (Resample.c).
_FILTERS = {
    "area": ("0.5", ("return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;",)),
    "bilinear": ("1.0", ("x = std::abs(x);", "return x < 1.0 ? 1.0 - x : 0.0;")),
    "bicubic": (
        "2.0",
        (
            "constexpr double a = -0.5;",
            "x = std::abs(x);",
            "if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;",
            "return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * a : 0.0;",
        ),
    ),
    "lanczos": (
        "3.0",
        (
            "const auto sinc = [](double at) {",
            "  return at == 0.0 ? 1.0 : std::sin(at * M_PI) / (at * M_PI);",
            "};",
            "return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;",
        ),
    ),
}


def settings(facts: PackageFacts, reading: Reading) -> str:
    """Returns the text of settings.hpp."""
    return "\n".join(_lines(facts, reading)) + "\n"


def _lines(facts: PackageFacts, reading: Reading) -> Iterator[str]:
    model, rule = facts.model, facts.model.preprocessing
    yield f"// What the build's manifest says of this engine; written by edge-scnet {__version__}."
    yield "#pragma once"
    yield ""
    yield "#include <algorithm>"
    yield "#include <cmath>"
    yield "#include <cstddef>"
    yield "#include <cstdint>"
    yield "#include <stdexcept>"
    yield "#include <string>"
    if rule.library == "opencv":
        yield "#include <opencv2/imgproc.hpp>"
    yield from answer_includes(reading)
    yield ""
    yield "namespace settings {"
    yield f'constexpr const char* kEngine = "{facts.engine.name}";'
    yield f"constexpr int kBatch = {facts.batch}, kChannels = {model.channels};"
    yield f"constexpr int kHeight = {model.height}, kWidth = {model.width};"
    yield "// the engine takes codes from 0 to 255 as bytes; else numbers as float32"
    yield f"constexpr bool kTakesCodes = {_bool(facts.input.is_bytes)};"
    yield f"constexpr bool kChannelsLast = {_bool(facts.input.layout == 'NHWC')};"
    yield from answer_settings(reading)
    yield ""
    yield from _of_pictures(rule, model, reads_grey=facts.reads_grey)
    if facts.runtime == "openvino":
        precision = "" if facts.opened_in == "default" else facts.opened_in
        yield ""
        yield "// of what is not INT8; empty: OpenVINO's own choice. 0 threads: its own number"
        yield f'constexpr const char* kPrecision = "{precision}";'
        yield f"constexpr int kThreads = {facts.target.threads};"
    if facts.runtime == "onnxruntime":
        yield ""
        yield "// 0: as many as there are cores"
        yield f"constexpr int kThreads = {facts.target.threads};"
    yield from _filter(rule)
    yield "}  // namespace settings"
    yield ""
    yield from _place(model)


def _of_pictures(rule: Preprocessing, model: ModelSpec, *, reads_grey: bool) -> Iterator[str]:
    yield "// pictures: grey or BGR, else RGB; turned as their EXIF data says"
    yield f"constexpr bool kGrey = {_bool(reads_grey)}, kBgr = {_bool(rule.colour == 'BGR')};"
    yield f"constexpr bool kTurn = {_bool(rule.exif)};"
    yield "// the number of code 255, and what is subtracted and divided, by channel"
    mean = rule.mean or (0.0,) * model.channels
    std = rule.std or (1.0,) * model.channels
    yield f"constexpr float kPixelMax = {float_text(rule.pixel_max)};"
    yield f"constexpr float kMean[] = {{{_floats(mean)}}};"
    yield f"constexpr float kStd[] = {{{_floats(std)}}};"
    yield "// codes of what a picture does not cover"
    yield f"constexpr std::uint8_t kPad[] = {{{', '.join(map(str, pads_of(model)))}}};"


def _filter(rule: Preprocessing) -> Iterator[str]:
    """The resampler's filter."""
    if rule.library == "opencv":
        yield ""
        yield f"constexpr int kInterpolation = cv::{OPENCV_METHODS[rule.interpolation]};"
        return
    if rule.interpolation not in _FILTERS or rule.resize == "none" or not rule.antialias:
        return
    reach, body = _FILTERS[rule.interpolation]
    yield ""
    yield f"// Pillow's {rule.interpolation}: how far it reaches, and its weight at a distance"
    yield f"constexpr double kReach = {reach};"
    yield "inline double filter(double x) {"
    yield from (f"  {line}" for line in body)
    yield "}"


def _place(model: ModelSpec) -> Iterator[str]:
    """The function that says what size a picture gets, and where the input begins in it."""
    rule, box = model.preprocessing, box_of(model)
    yield "// The size that a picture is scaled to, and where in it the input begins."
    yield "struct Place {"
    yield "  int width, height, left, top;"
    yield "};"
    yield ""
    yield "inline Place placed(const std::string& path, int width, int height) {"
    yield "  using namespace settings;"
    if rule.resize == "letterbox":
        yield from _letterbox(rule)
        yield "}"
        return
    if rule.resize == "none":
        yield "  if (width < kWidth || height < kHeight)"
        yield '    throw std::runtime_error(path + ": it is smaller than the engine\'s input");'
    elif rule.resize == "stretch":
        yield "  (void)path;"
        yield f"  width = {box.width}, height = {box.height};"
    else:
        yield "  (void)path;"
        yield f"  constexpr int kWide = {box.width}, kHigh = {box.height};  // what it is to cover"
        yield "  const double ratio_w = width, ratio_h = height;"
        yield "  if (ratio_w * kHigh <= ratio_h * kWide) {"
        yield "    width = kWide;"
        yield "    height = std::max(static_cast<int>(kWide * ratio_h / ratio_w), kHigh);"
        yield "  } else {"
        yield "    width = std::max(static_cast<int>(kHigh * ratio_w / ratio_h), kWide);"
        yield "    height = kHigh;"
        yield "  }"
    yield "  // halves are rounded to the even number"
    yield "  const int left = static_cast<int>(std::nearbyint((width - kWidth) / 2.0));"
    yield "  const int top = static_cast<int>(std::nearbyint((height - kHeight) / 2.0));"
    yield "  return {width, height, left, top};"
    yield "}"


def _letterbox(rule: Preprocessing) -> Iterator[str]:
    yield "  (void)path;"
    yield "  const double x = static_cast<double>(kWidth) / width;"
    yield "  const double y = static_cast<double>(kHeight) / height;"
    yield "  const double scale = std::min(x, y);"
    if rule.pad_anchor == "top-left":
        yield "  width = std::max(static_cast<int>(width * scale), 1);"
        yield "  height = std::max(static_cast<int>(height * scale), 1);"
        yield "  return {width, height, 0, 0};"
        return
    yield "  width = std::max(static_cast<int>(std::nearbyint(width * scale)), 1);"
    yield "  height = std::max(static_cast<int>(std::nearbyint(height * scale)), 1);"
    yield "  const int left = static_cast<int>(std::nearbyint((kWidth - width) / 2.0 - 0.1));"
    yield "  const int top = static_cast<int>(std::nearbyint((kHeight - height) / 2.0 - 0.1));"
    yield "  return {width, height, -left, -top};"


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _floats(values: Sequence[float]) -> str:
    return ", ".join(map(float_text, values))
