/* Strings and bytes between Elixir and this guest. Elixir allocates memory for an argument with malloc, and frees it after
   the call. A result is valid until the next one is returned. */
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WASMEX_EXPORT(name) __attribute__((export_name(#name)))

/* A result, for returns: :bytes, :string or :json. */
static inline uint64_t wasmex_returned(const void *bytes, size_t length) {
  static void *last;
  void *copy = malloc(length ? length : 1);
  if (!copy) abort();
  memcpy(copy, bytes, length);
  free(last);
  last = copy;
  return (uint64_t)(uintptr_t)copy << 32 | length;
}
