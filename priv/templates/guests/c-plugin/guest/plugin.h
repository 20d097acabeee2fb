/* Input, output and error of a plug-in, through the functions of Extism's ABI. PDKs with more: https://extism.org. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(name)))
#define KERNEL(name) __attribute__((import_module("extism:host/env"), import_name(name)))

KERNEL("input_length") uint64_t plugin_input_length(void);
KERNEL("input_load_u8") uint32_t plugin_input_load(uint64_t index);
KERNEL("alloc") uint64_t plugin_alloc(uint64_t length);
KERNEL("store_u8") void plugin_store(uint64_t offset, uint32_t byte);
KERNEL("output_set") void plugin_output_set(uint64_t offset, uint64_t length);
KERNEL("error_set") void plugin_error_set(uint64_t offset);

/* The input of the call as a string, to be freed. */
static inline char *plugin_input(void) {
  uint64_t length = plugin_input_length();
  char *text = malloc(length + 1);
  for (uint64_t i = 0; i < length; i++) text[i] = (char)plugin_input_load(i);
  text[length] = 0;
  return text;
}

static inline uint64_t plugin_block(const char *text, size_t length) {
  uint64_t offset = plugin_alloc(length);
  for (size_t i = 0; i < length; i++) plugin_store(offset + i, (unsigned char)text[i]);
  return offset;
}

/* Sets the output and returns 0, for success. */
static inline int plugin_output(const char *text) {
  size_t length = strlen(text);
  plugin_output_set(plugin_block(text, length), length);
  return 0;
}

/* Sets the error message and returns 1, for failure. */
static inline int plugin_fail(const char *text) {
  plugin_error_set(plugin_block(text, strlen(text)));
  return 1;
}
