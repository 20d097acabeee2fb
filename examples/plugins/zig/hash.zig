//! The FNV-1a hash of the input, as 16 hexadecimal digits.
extern "extism:host/env" fn input_length() u64;
extern "extism:host/env" fn input_load_u8(index: u64) u8;
extern "extism:host/env" fn alloc(length: u64) u64;
extern "extism:host/env" fn store_u8(offset: u64, byte: u8) void;
extern "extism:host/env" fn output_set(offset: u64, length: u64) void;

export fn fnv() i32 {
    var hash: u64 = 0xcbf29ce484222325;
    var i: u64 = 0;
    while (i < input_length()) : (i += 1) hash = (hash ^ input_load_u8(i)) *% 0x100000001b3;

    const output = alloc(16);
    var digit: u6 = 0;
    while (digit < 16) : (digit += 1) {
        const value: u8 = @truncate((hash >> (60 - 4 * digit)) & 15);
        store_u8(output + digit, if (value < 10) '0' + value else 'a' + value - 10);
    }
    output_set(output, 16);
    return 0;
}
