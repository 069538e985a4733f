#!/bin/sh
echo $$ >pid
while :; do echo 'RAM 4722/7844MB (lfb 1x4MB) GR3D_FREQ 99%@1020 gpu@47.6C VDD_IN 5336mW/4970mW'; sleep 0.05; done
