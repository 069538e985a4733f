/* A libcudart without a GPU, for tests: device memory is host memory, a graph is the list of the
   copies in it. It notes each call by the names of what it makes: d1 is the first block of device
   memory, h1 of page-locked memory, s1 a stream, g1 a graph, e1 what is instantiated of it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INVALID = 1, NO_MEMORY = 2, CAPTURE_BROKEN = 901, MOST = 64 };

struct made { char kind; int number; void *address; size_t size; int live; };
struct copy { void *to; const void *from; size_t size; };

static char notes[1 << 14];
static struct made all[MOST];
static int count, device_code, driver_version = 12060, free_bytes = 1 << 20;
static struct copy captured[MOST];
static int captured_count, capturing, broken;

static void note(const char *format, ...) {
  va_list arguments;
  size_t used = strlen(notes);
  va_start(arguments, format);
  vsnprintf(notes + used, sizeof notes - used, format, arguments);
  va_end(arguments);
  strncat(notes, "\n", sizeof notes - strlen(notes) - 1);
}

static struct made *make(char kind, size_t size) {
  int number = 1, i;
  for (i = 0; i < count; i++) number += all[i].kind == kind;
  all[count].kind = kind;
  all[count].number = number;
  all[count].size = size;
  all[count].live = 1;
  all[count].address = aligned_alloc(256, (size + 256) & ~(size_t)255);
  return &all[count++];
}

static struct made *found(char kind, const void *address) {
  int i;
  for (i = 0; i < count; i++)
    if (all[i].kind == kind && all[i].live && address >= all[i].address &&
        (const char *)address < (const char *)all[i].address + (all[i].size ? all[i].size : 1))
      return &all[i];
  return NULL;
}

static int drop(char kind, void *address, const char *name) {
  struct made *one = found(kind, address);
  if (!one || one->address != address) { note("%s of what is not there", name); return INVALID; }
  note("%s %c%d", name, kind, one->number);
  one->live = 0;
  return 0;
}

const char *fake_notes(void) { return notes; }
void fake_reset(int code, int driver, int bytes) {
  notes[0] = 0, count = 0, captured_count = 0, capturing = 0, broken = 0;
  device_code = code, driver_version = driver, free_bytes = bytes;
}
int fake_live(void) {
  int i, live = 0;
  for (i = 0; i < count; i++) live += all[i].live;
  return live;
}

const char *cudaGetErrorString(int code) {
  if (code == 35) return "CUDA driver version is insufficient for CUDA runtime version";
  if (code == NO_MEMORY) return "out of memory";
  if (code == 100) return "no CUDA-capable device is detected";
  return code == CAPTURE_BROKEN ? "operation failed due to a previous error during capture"
                                : "invalid argument";
}
int cudaGetDeviceCount(int *out) { if (!device_code) *out = 1; return device_code; }
int cudaRuntimeGetVersion(int *out) { *out = 13000; return 0; }
int cudaDriverGetVersion(int *out) { *out = driver_version; return 0; }

int cudaMalloc(void **out, size_t size) {
  struct made *one;
  if (size > (size_t)free_bytes) return NO_MEMORY;
  if (capturing) { broken = 1; return CAPTURE_BROKEN; }
  one = make('d', size);
  note("malloc %zu d%d", size, one->number);
  *out = one->address;
  return 0;
}
int cudaFree(void *address) { return drop('d', address, "free"); }
int cudaMallocHost(void **out, size_t size) {
  struct made *one = make('h', size);
  note("malloc host %zu h%d", size, one->number);
  *out = one->address;
  return 0;
}
int cudaFreeHost(void *address) { return drop('h', address, "free host"); }

int cudaStreamCreate(void **out) {
  struct made *one = make('s', 0);
  note("create s%d", one->number);
  *out = one->address;
  return 0;
}
int cudaStreamSynchronize(void *stream) {
  struct made *one = found('s', stream);
  if (!one) return INVALID;
  note("wait s%d", one->number);
  return 0;
}
int cudaStreamDestroy(void *stream) { return drop('s', stream, "destroy"); }

int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *stream) {
  struct made *host, *device, *queue = found('s', stream);
  host = found('h', kind == 1 ? from : to);
  device = found('d', kind == 1 ? to : from);
  if (!queue || !host || !device || kind < 1 || kind > 2 || size > device->size || size > host->size)
    return INVALID;
  note("%s %zu h%d d%d s%d%s", kind == 1 ? "up" : "down", size, host->number, device->number,
       queue->number, capturing ? " recorded" : "");
  if (capturing) {
    captured[captured_count].to = to;
    captured[captured_count].from = from;
    captured[captured_count++].size = size;
  } else {
    memcpy(to, from, size);
  }
  return 0;
}

int cudaStreamBeginCapture(void *stream, int mode) {
  if (!found('s', stream) || mode != 1) return INVALID;
  note("begin s%d", found('s', stream)->number);
  capturing = 1, captured_count = 0, broken = 0;
  return 0;
}
int cudaStreamEndCapture(void *stream, void **out) {
  struct made *one;
  if (!found('s', stream) || !capturing) return INVALID;
  capturing = 0;
  note("end s%d", found('s', stream)->number);
  *out = NULL;
  if (broken) return CAPTURE_BROKEN;
  one = make('g', 0);
  *out = one->address;
  return 0;
}
int cudaGraphInstantiateWithFlags(void **out, void *graph, unsigned long long flags) {
  struct made *one, *of = found('g', graph);
  if (!of || flags) return INVALID;
  one = make('e', 0);
  note("instantiate g%d e%d", of->number, one->number);
  *out = one->address;
  return 0;
}
int cudaGraphDestroy(void *graph) { return drop('g', graph, "destroy"); }
int cudaGraphExecDestroy(void *executable) { return drop('e', executable, "destroy"); }
int cudaGraphLaunch(void *executable, void *stream) {
  int i;
  if (!found('e', executable) || !found('s', stream)) return INVALID;
  note("launch e%d s%d", found('e', executable)->number, found('s', stream)->number);
  for (i = 0; i < captured_count; i++) memcpy(captured[i].to, captured[i].from, captured[i].size);
  return 0;
}
