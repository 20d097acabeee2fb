// Letters to upper case, and how often this plug-in has shouted, in the variable "times".
typedef unsigned long long u64;
typedef unsigned char u8;

#define ENV(name) __attribute__((import_module("extism:host/env"), import_name(#name)))
ENV(input_length) u64 input_length(void);
ENV(input_load_u8) u8 input_load_u8(u64 index);
ENV(alloc) u64 alloc(u64 length);
ENV(store_u8) void store_u8(u64 offset, u8 byte);
ENV(load_u8) u8 load_u8(u64 offset);
ENV(output_set) void output_set(u64 offset, u64 length);
ENV(error_set) void error_set(u64 offset);
ENV(var_get) u64 var_get(u64 key);
ENV(var_set) void var_set(u64 key, u64 value);

static u64 block(const char *text) {
  u64 length = 0;
  while (text[length]) length++;
  u64 offset = alloc(length);
  for (u64 i = 0; i < length; i++) store_u8(offset + i, text[i]);
  return offset;
}

__attribute__((export_name("shout"))) int shout(void) {
  u64 length = input_length();
  if (!length) {
    error_set(block("nothing to shout"));
    return 1;
  }
  u64 output = alloc(length);
  for (u64 i = 0; i < length; i++) {
    u8 byte = input_load_u8(i);
    store_u8(output + i, byte >= 'a' && byte <= 'z' ? byte - 32 : byte);
  }
  u64 before = var_get(block("times")), times = alloc(1);
  store_u8(times, before ? load_u8(before) + 1 : 1);
  var_set(block("times"), times);
  output_set(output, length);
  return 0;
}
