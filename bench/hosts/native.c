/* A port's program for bench/peers: packets of four bytes' length in big endian, then the bytes. The first byte says what
   to do: `a` adds, `i` asks n times, `e` echoes, `c` computes. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fill(void *at, size_t count) {
  for (size_t done = 0; done < count;) {
    ssize_t n = read(0, (char *)at + done, count - done);
    if (n <= 0) return 0;
    done += n;
  }
  return 1;
}

static uint8_t *packet;
static size_t capacity;

/* The length of the next packet; 0 at the end of the input. */
static size_t next(void) {
  uint32_t length;
  if (!fill(&length, 4)) return 0;
  length = ntohl(length);
  if (length > capacity && !(packet = realloc(packet, capacity = length))) return 0;
  return fill(packet, length) ? length : 0;
}

static void answer(const void *bytes, size_t length) {
  uint32_t head = htonl(length);
  if (write(1, &head, 4) != 4) exit(1);
  for (size_t done = 0; done < length;) {
    ssize_t n = write(1, (const char *)bytes + done, length - done);
    if (n <= 0) exit(1);
    done += n;
  }
}

static uint32_t number(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, 4);
  return value;
}

static void ask(uint32_t n) {
  for (; n; n--) {
    uint8_t question[5] = {'q'};
    memcpy(question + 1, &n, 4);
    answer(question, 5);
    if (!next()) exit(1);
  }
  answer(".", 1);
}

static const uint32_t k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))

/* SHA-256 of 32 bytes, which with their padding are one block. */
static void sha256(uint32_t digest[8]) {
  static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  uint32_t w[64] = {0}, s[8];
  memcpy(w, digest, 32);
  w[8] = 0x80000000;
  w[15] = 256;
  for (int i = 16; i < 64; i++) {
    uint32_t a = ROTATE(w[i - 15], 7) ^ ROTATE(w[i - 15], 18) ^ w[i - 15] >> 3;
    uint32_t b = ROTATE(w[i - 2], 17) ^ ROTATE(w[i - 2], 19) ^ w[i - 2] >> 10;
    w[i] = w[i - 16] + a + w[i - 7] + b;
  }
  memcpy(s, first, 32);
  for (int i = 0; i < 64; i++) {
    uint32_t e = ROTATE(s[4], 6) ^ ROTATE(s[4], 11) ^ ROTATE(s[4], 25);
    uint32_t t = s[7] + e + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
    uint32_t a = ROTATE(s[0], 2) ^ ROTATE(s[0], 13) ^ ROTATE(s[0], 22);
    uint32_t u = a + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
    memmove(s + 1, s, 28);
    s[4] += t;
    s[0] = t + u;
  }
  for (int i = 0; i < 8; i++) digest[i] = first[i] + s[i];
}

int main(void) {
  for (size_t length; (length = next());) {
    uint32_t result, digest[8] = {0};
    switch (packet[0]) {
      case 'a':
        result = number(packet + 1) + number(packet + 5);
        answer(&result, 4);
        break;
      case 'i':
        ask(number(packet + 1));
        break;
      case 'e':
        answer(packet + 1, length - 1);
        break;
      case 'c':
        for (uint32_t n = number(packet + 1); n; n--) sha256(digest);
        answer(&digest[7], 4);
        break;
    }
  }
  return 0;
}
