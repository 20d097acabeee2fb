/* Functions for Elixir: see lib/@name@.ex. */
#include "wasmex.h"

/* Takes a string and returns one. */
WASMEX_EXPORT(greet) uint64_t greet(const char *name, size_t length) {
  char text[256];
  int size = snprintf(text, sizeof text, "Hello, %.*s!", (int)(length < 200 ? length : 200), name);
  return wasmex_returned(text, size);
}

WASMEX_EXPORT(add) int32_t add(int32_t a, int32_t b) { return a + b; }
