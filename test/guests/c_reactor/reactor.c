/* A WASI reactor: `_initialize` runs the constructor, then the host calls the exports. */
#include <stddef.h>
#include <string.h>

/* volatile: otherwise the compiler runs the constructor itself. */
static volatile int count;

__attribute__((constructor)) static void start_count(void) { count = 100; }

/* 101, 102, ...; 1, 2, ... if nobody called `_initialize`. */
__attribute__((export_name("counter"))) int counter(void) { return count += 1; }

__attribute__((export_name("fill"))) void fill(void *ptr, size_t len, int byte) {
  memset(ptr, byte, len);
}
