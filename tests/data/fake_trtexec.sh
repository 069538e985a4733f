#!/bin/sh
echo "&&&& RUNNING TensorRT.trtexec@BANNER@ # $*"
for word; do
    case ' @OPTIONS@ ' in
        *" ${word%%=*} "*) ;;
        *)
            echo "[11/24/2026-12:00:00] [E] Unknown option: ${word%%=*} ${word#*=}"
            echo "&&&& FAILED TensorRT.trtexec@BANNER@ # $*"
            exit 1
            ;;
    esac
done
ms=1.0 qps=987.5
for word; do
    case $word in
        --saveEngine=*) echo plan >"${word#*=}" ;;
        --loadEngine=*fp16*) ms=${FP16_MS:-2.0} qps=${FP16_QPS:-987.5} ;;
        --exportTimes=*) echo "[@WARM_UP@{\"computeMs\": $ms, \"latencyMs\": $ms}, {\"computeMs\": $ms}]" >"${word#*=}" ;;
        --exportProfile=*) echo '@PROFILE@' >"${word#*=}" ;;
        --exportLayerInfo=*) echo '@LAYERS@' >"${word#*=}" ;;
    esac
done
echo "$*" >>"${CALLS:-/dev/null}"
@FAIL@
echo "[11/24/2026-12:00:00] [I] Throughput: $qps qps"
echo "[11/24/2026-12:00:00] [I] GPU Compute Time: min = $ms ms, max = $ms ms, mean = $ms ms, median = $ms ms, percentile(90%) = $ms ms, percentile(99%) = $ms ms"
echo "&&&& PASSED TensorRT.trtexec@BANNER@ # $*"
