/* A driver library without a GPU, for the real pycuda in tests: device memory is host memory. It
   notes what is made, copied and freed, with the sizes. pycuda binds its other functions lazily. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long address;
enum { INVALID = 1, NO_MEMORY = 2, MOST = 64 };

static char notes[1 << 14];
static void *live[MOST];
static int context;

static void note(const char *what, size_t size) {
  snprintf(notes + strlen(notes), sizeof notes - strlen(notes), "%s %zu\n", what, size);
}
static int keep(void *made) {
  int i;
  for (i = 0; i < MOST && live[i]; i++) {}
  if (i == MOST) abort();
  live[i] = made;
  return 0;
}
static int drop(void *one, const char *what) {
  int i;
  for (i = 0; i < MOST; i++)
    if (live[i] == one) { live[i] = NULL; note(what, 0); return 0; }
  note("freed twice", 0);
  return INVALID;
}

const char *fake_notes(void) { return notes; }
int fake_live(void) {
  int i, count = 0;
  for (i = 0; i < MOST; i++) count += live[i] != NULL;
  return count;
}

int cuInit(unsigned flags) { return (int)flags; }
int cuDriverGetVersion(int *out) { *out = 13000; return 0; }
int cuGetErrorString(int code, const char **out) {
  *out = code == NO_MEMORY ? "out of memory" : "invalid argument";
  return 0;
}
int cuDeviceGetCount(int *out) { *out = 1; return 0; }
int cuDeviceGet(int *out, int number) { *out = number; return 0; }
int cuDevicePrimaryCtxRetain(void **out, int device) { (void)device; *out = &context; return 0; }
int cuDevicePrimaryCtxRelease(int device) { return device; }
int cuDevicePrimaryCtxRelease_v2(int device) { return device; }
int cuCtxPushCurrent_v2(void *one) { return one != &context; }
int cuCtxPopCurrent_v2(void **out) { *out = &context; return 0; }
int cuCtxSetCurrent(void *one) { (void)one; return 0; }
int cuCtxGetCurrent(void **out) { *out = &context; return 0; }
int cuCtxGetDevice(int *out) { *out = 0; return 0; }
int cuCtxSynchronize(void) { return 0; }
int cuCtxDetach(void *one) { (void)one; return 0; }
int cuCtxDestroy_v2(void *one) { (void)one; return 0; }

int cuStreamCreate(void **out, unsigned flags) {
  (void)flags;
  *out = malloc(8);
  note("stream", 0);
  return keep(*out);
}
int cuStreamSynchronize(void *stream) { (void)stream; note("wait", 0); return 0; }
int cuStreamDestroy_v2(void *stream) { return drop(stream, "destroy"); }
int cuStreamDestroy(void *stream) { return drop(stream, "destroy"); }

int cuMemAlloc_v2(address *out, size_t size) {
  void *made;
  if (size > 1 << 20) return NO_MEMORY;
  made = aligned_alloc(256, (size + 256) & ~(size_t)255);
  *out = (address)(size_t)made;
  note("device", size);
  return keep(made);
}
int cuMemFree_v2(address one) { return drop((void *)(size_t)one, "free"); }
int cuMemHostAlloc(void **out, size_t size, unsigned flags) {
  (void)flags;
  *out = aligned_alloc(256, (size + 256) & ~(size_t)255);
  note("host", size);
  return keep(*out);
}
int cuMemFreeHost(void *one) { return drop(one, "free host"); }
int cuMemcpyHtoDAsync_v2(address to, const void *from, size_t size, void *stream) {
  (void)stream;
  note("up", size);
  memcpy((void *)(size_t)to, from, size);
  return 0;
}
int cuMemcpyDtoHAsync_v2(void *to, address from, size_t size, void *stream) {
  (void)stream;
  note("down", size);
  memcpy(to, (void *)(size_t)from, size);
  return 0;
}
