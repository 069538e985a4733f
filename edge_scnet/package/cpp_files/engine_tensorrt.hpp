// The engine: a TensorRT plan on the GPU of the board that built it. TensorRT 8.6 and newer.
#pragma once

#include <NvInfer.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "settings.hpp"

class Engine {
 public:
  explicit Engine(const std::string& file) {
    std::ifstream stream(file, std::ios::binary);
    const std::vector<char> plan{std::istreambuf_iterator<char>(stream), {}};
    if (plan.empty()) throw std::runtime_error(file + " cannot be read");
    runtime_.reset(nvinfer1::createInferRuntime(logger_));
    if (runtime_) engine_.reset(runtime_->deserializeCudaEngine(plan.data(), plan.size()));
    if (engine_) context_.reset(engine_->createExecutionContext());
    if (!context_)
      throw std::runtime_error(file + " cannot be loaded: a plan belongs to the board, and to the" +
                               " TensorRT, that built it");
    check(cudaStreamCreate(&stream_));
    for (int i = 0; i < engine_->getNbIOTensors(); ++i) {
      const char* name = engine_->getIOTensorName(i);
      Tensor tensor{name, engine_->getTensorShape(name), engine_->getTensorDataType(name)};
      tensor.bytes = count(tensor) * size_of(tensor.type);
      check(cudaMallocHost(&tensor.host, tensor.bytes));
      check(cudaMalloc(&tensor.device, tensor.bytes));
      context_->setTensorAddress(name, tensor.device);
      const bool is_input = engine_->getTensorIOMode(name) == nvinfer1::TensorIOMode::kINPUT;
      (is_input ? inputs_ : outputs_).push_back(tensor);
    }
    const auto wanted =
        settings::kTakesCodes ? nvinfer1::DataType::kUINT8 : nvinfer1::DataType::kFLOAT;
    if (inputs_.size() != 1 || inputs_[0].type != wanted)
      throw std::runtime_error(file + " takes another input than settings.hpp says");
  }

  ~Engine() {
    for (const std::vector<Tensor>* tensors : {&inputs_, &outputs_})
      for (const Tensor& tensor : *tensors) {
        cudaFree(tensor.device);
        cudaFreeHost(tensor.host);
      }
    if (stream_) cudaStreamDestroy(stream_);
  }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  void* input() { return inputs_[0].host; }
  std::size_t input_bytes() const { return inputs_[0].bytes; }
  std::size_t outputs() const { return outputs_.size(); }

  // From the host's memory to the host's memory.
  void infer() {
    const Tensor& in = inputs_[0];
    check(cudaMemcpyAsync(in.device, in.host, in.bytes, cudaMemcpyHostToDevice, stream_));
    if (!context_->enqueueV3(stream_)) throw std::runtime_error("TensorRT cannot run the plan");
    for (const Tensor& out : outputs_)
      check(cudaMemcpyAsync(out.host, out.device, out.bytes, cudaMemcpyDeviceToHost, stream_));
    check(cudaStreamSynchronize(stream_));
  }

  std::string shape(std::size_t index) const {
    const nvinfer1::Dims& sizes = outputs_[index].sizes;
    std::string words;
    for (int axis = 1; axis < sizes.nbDims; ++axis)
      words += (axis > 1 ? " x " : "") + std::to_string(sizes.d[axis]);
    return words.empty() ? "one number" : words;
  }

  // The first sample's values; all of an output that the batch does not divide.
  std::vector<double> output(std::size_t index) const {
    const Tensor& tensor = outputs_[index];
    const auto rows = tensor.sizes.nbDims ? tensor.sizes.d[0] : 1;
    const std::size_t values = count(tensor) / (rows % settings::kBatch ? 1 : settings::kBatch);
    if (tensor.type == nvinfer1::DataType::kINT32) return first<std::int32_t>(tensor, values);
    if (tensor.type == nvinfer1::DataType::kFLOAT) return first<float>(tensor, values);
    throw std::runtime_error("outputs of this type are not read");
  }

 private:
  struct Tensor {
    const char* name;
    nvinfer1::Dims sizes;
    nvinfer1::DataType type;
    std::size_t bytes = 0;
    void* host = nullptr;
    void* device = nullptr;
  };
  struct Logger : nvinfer1::ILogger {
    void log(Severity severity, const char* message) noexcept override {
      if (severity <= Severity::kWARNING) std::cerr << "TensorRT: " << message << "\n";
    }
  };

  static void check(cudaError_t code) {
    if (code != cudaSuccess) throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(code));
  }
  static std::size_t count(const Tensor& tensor) {
    std::size_t values = 1;
    for (int axis = 0; axis < tensor.sizes.nbDims; ++axis) {
      if (tensor.sizes.d[axis] < 1) throw std::runtime_error("the plan leaves sizes open");
      values *= static_cast<std::size_t>(tensor.sizes.d[axis]);
    }
    return values;
  }
  static std::size_t size_of(nvinfer1::DataType type) {
    switch (type) {
      case nvinfer1::DataType::kFLOAT:
      case nvinfer1::DataType::kINT32: return 4;
      case nvinfer1::DataType::kHALF: return 2;
      case nvinfer1::DataType::kINT8:
      case nvinfer1::DataType::kBOOL:
      case nvinfer1::DataType::kUINT8: return 1;
      default: throw std::runtime_error("tensors of this type are not read");
    }
  }
  template <typename Type>
  static std::vector<double> first(const Tensor& tensor, std::size_t values) {
    const Type* begin = static_cast<const Type*>(tensor.host);
    return std::vector<double>(begin, begin + values);
  }

  Logger logger_;
  std::unique_ptr<nvinfer1::IRuntime> runtime_;
  std::unique_ptr<nvinfer1::ICudaEngine> engine_;
  std::unique_ptr<nvinfer1::IExecutionContext> context_;
  std::vector<Tensor> inputs_, outputs_;
  cudaStream_t stream_ = nullptr;
};
