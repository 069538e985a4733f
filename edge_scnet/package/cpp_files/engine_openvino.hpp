// The engine: OpenVINO's IR on the CPU, loaded as it was judged.
#pragma once

#include <openvino/openvino.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "settings.hpp"

class Engine {
 public:
  explicit Engine(const std::string& file) {
    ov::AnyMap properties{ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY)};
    // not stored in the IR: without it layers in float may compute in BF16
    const std::string precision = settings::kPrecision;
    if (precision == "f32") properties.insert(ov::hint::inference_precision(ov::element::f32));
    if (precision == "bf16") properties.insert(ov::hint::inference_precision(ov::element::bf16));
    if (settings::kThreads) properties.insert(ov::inference_num_threads(settings::kThreads));
    request_ = core_.compile_model(file, "CPU", properties).create_infer_request();
    const auto wanted = settings::kTakesCodes ? ov::element::u8 : ov::element::f32;
    if (request_.get_input_tensor().get_element_type() != wanted)
      throw std::runtime_error(file + " takes another type than settings.hpp says: " +
                               request_.get_input_tensor().get_element_type().get_type_name());
    count_ = request_.get_compiled_model().outputs().size();
  }

  void* input() { return request_.get_input_tensor().data(); }
  std::size_t input_bytes() { return request_.get_input_tensor().get_byte_size(); }
  void infer() { request_.infer(); }
  std::size_t outputs() const { return count_; }

  std::string shape(std::size_t index) {
    const ov::Tensor tensor = request_.get_output_tensor(index);
    std::string words;
    for (std::size_t axis = 1; axis < tensor.get_shape().size(); ++axis)
      words += (axis > 1 ? " x " : "") + std::to_string(tensor.get_shape()[axis]);
    return (words.empty() ? "one number" : words) + " " + tensor.get_element_type().get_type_name();
  }

  // The first sample's values; all of an output that the batch does not divide.
  std::vector<double> output(std::size_t index) {
    const ov::Tensor tensor = request_.get_output_tensor(index);
    const std::size_t rows = tensor.get_shape().empty() ? 1 : tensor.get_shape()[0];
    const std::size_t count = tensor.get_size() / (rows % settings::kBatch ? 1 : settings::kBatch);
    switch (tensor.get_element_type()) {
      case ov::element::f32: return first<float>(tensor, count);
      case ov::element::i32: return first<std::int32_t>(tensor, count);
      case ov::element::i64: return first<std::int64_t>(tensor, count);
      case ov::element::boolean:
      case ov::element::u8: return first<std::uint8_t>(tensor, count);
      default: throw std::runtime_error("outputs of this type are not read");
    }
  }

 private:
  template <typename Type>
  static std::vector<double> first(const ov::Tensor& tensor, std::size_t count) {
    const Type* values = tensor.data<const Type>();
    return std::vector<double>(values, values + count);
  }

  ov::Core core_;
  ov::InferRequest request_;
  std::size_t count_ = 0;
};
