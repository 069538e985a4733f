// The engine: an ONNX file in ONNX Runtime on the CPU, loaded as it was judged. ONNX Runtime 1.13
// and newer.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "settings.hpp"

class Engine {
 public:
  explicit Engine(const std::string& file)
      : env_(level(), "run"), session_(env_, file.c_str(), options()) {
    Ort::AllocatorWithDefaultOptions allocator;
    if (session_.GetInputCount() != 1) throw std::runtime_error(file + " takes more than one input");
    input_name_ = session_.GetInputNameAllocated(0, allocator).get();
    const Ort::TypeInfo type = session_.GetInputTypeInfo(0);
    const auto taken = type.GetTensorTypeAndShapeInfo();
    const std::vector<std::int64_t> sizes = taken.GetShape();
    for (const std::int64_t size : sizes)
      if (size < 1) throw std::runtime_error(file + " leaves sizes of its input open");
    const auto wanted = settings::kTakesCodes ? ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8
                                              : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    if (taken.GetElementType() != wanted)
      throw std::runtime_error(file + " takes another type than settings.hpp says: " +
                               name_of(taken.GetElementType()));
    bytes_ = taken.GetElementCount() * (settings::kTakesCodes ? 1 : sizeof(float));
    input_ = Ort::Value::CreateTensor(allocator, sizes.data(), sizes.size(), wanted);
    for (std::size_t i = 0; i < session_.GetOutputCount(); ++i)
      output_names_.emplace_back(session_.GetOutputNameAllocated(i, allocator).get());
    for (const std::string& name : output_names_) asked_.push_back(name.c_str());
  }

  void* input() { return input_.GetTensorMutableRawData(); }
  std::size_t input_bytes() const { return bytes_; }
  std::size_t outputs() const { return output_names_.size(); }

  void infer() {
    const char* name = input_name_.c_str();
    outputs_ = session_.Run(Ort::RunOptions{nullptr}, &name, &input_, 1, asked_.data(), asked_.size());
  }

  std::string shape(std::size_t index) const {
    const auto told = outputs_[index].GetTensorTypeAndShapeInfo();
    const std::vector<std::int64_t> sizes = told.GetShape();
    std::string words;
    for (std::size_t axis = 1; axis < sizes.size(); ++axis)
      words += (axis > 1 ? " x " : "") + std::to_string(sizes[axis]);
    return (words.empty() ? "one number" : words) + " " + name_of(told.GetElementType());
  }

  // The first sample's values; all of an output that the batch does not divide.
  std::vector<double> output(std::size_t index) const {
    const Ort::Value& tensor = outputs_[index];
    const auto told = tensor.GetTensorTypeAndShapeInfo();
    const std::vector<std::int64_t> sizes = told.GetShape();
    const std::size_t rows = sizes.empty() ? 1 : static_cast<std::size_t>(sizes[0]);
    const std::size_t count =
        told.GetElementCount() / (rows % settings::kBatch ? 1 : settings::kBatch);
    switch (told.GetElementType()) {
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT: return first<float>(tensor, count);
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32: return first<std::int32_t>(tensor, count);
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64: return first<std::int64_t>(tensor, count);
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8: return first<std::uint8_t>(tensor, count);
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL: return first<bool>(tensor, count);
      default: throw std::runtime_error("outputs of this type are not read");
    }
  }

 private:
  // Called before anything else of the library: where it is older than its headers there is no
  // interface, and the first call of one would end the program.
  static OrtLoggingLevel level() {
    if (!OrtGetApiBase()->GetApi(ORT_API_VERSION))
      throw std::runtime_error(std::string("the library is ONNX Runtime ") +
                               OrtGetApiBase()->GetVersionString() +
                               ", older than the headers that this program was compiled with");
    return ORT_LOGGING_LEVEL_ERROR;
  }
  static Ort::SessionOptions options() {
    Ort::SessionOptions chosen;
    chosen.SetIntraOpNumThreads(settings::kThreads);
    chosen.SetGraphOptimizationLevel(GraphOptimizationLevel::ORT_ENABLE_ALL);
    return chosen;
  }
  static std::string name_of(ONNXTensorElementDataType type) {
    switch (type) {
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT: return "float32";
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32: return "int32";
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64: return "int64";
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8: return "uint8";
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL: return "bool";
      default: return "type " + std::to_string(type) + " of ONNX";
    }
  }
  template <typename Type>
  static std::vector<double> first(const Ort::Value& tensor, std::size_t count) {
    const Type* values = tensor.GetTensorData<Type>();
    return std::vector<double>(values, values + count);
  }

  Ort::Env env_;
  Ort::Session session_;
  Ort::Value input_{nullptr};
  std::vector<Ort::Value> outputs_;
  std::string input_name_;
  std::vector<std::string> output_names_;
  std::vector<const char*> asked_;
  std::size_t bytes_ = 0;
};
