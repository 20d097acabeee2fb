// Runs a script of socket calls, one a line: each prints its line, the error's name and what the call gave.
//
// Every import is declared here by hand, so that nothing of wasi-libc's opinion is in between. Compiled with -DV1 it
// is a guest of WasmEdge's first version of the sockets, otherwise of the second. The README lists the commands.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMPORT(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name))) int32_t
typedef int32_t i32;
typedef int64_t i64;
typedef uint32_t u32;
typedef struct { void *buf; u32 len; } span;  // an iovec, and an address

IMPORT(sock_open) sock_open(i32 family, i32 type, i32 *fd);
IMPORT(sock_bind) sock_bind(i32 fd, span *address, i32 port);
IMPORT(sock_listen) sock_listen(i32 fd, i32 backlog);
IMPORT(sock_connect) sock_connect(i32 fd, span *address, i32 port);
IMPORT(sock_send) sock_send(i32 fd, span *data, i32 n, i32 flags, u32 *sent);
IMPORT(sock_recv) sock_recv(i32 fd, span *data, i32 n, i32 flags, u32 *got, uint16_t *out_flags);
IMPORT(sock_send_to) sock_send_to(i32 fd, span *data, i32 n, span *address, i32 port, i32 flags, u32 *sent);
IMPORT(sock_shutdown) sock_shutdown(i32 fd, i32 how);
IMPORT(sock_getsockopt) sock_getsockopt(i32 fd, i32 level, i32 name, void *value, i32 len);
IMPORT(sock_setsockopt) sock_setsockopt(i32 fd, i32 level, i32 name, void *value, i32 len);
IMPORT(sock_getaddrinfo) sock_getaddrinfo(const char *node, i32 node_len, const char *service, i32 service_len, void *hints, void *result, i32 max, u32 *count);
#ifdef V1
IMPORT(sock_accept) sock_accept(i32 fd, i32 *out);
IMPORT(sock_recv_from) sock_recv_from(i32 fd, span *data, i32 n, span *address, i32 flags, u32 *got, uint16_t *out_flags);
IMPORT(sock_getlocaladdr) sock_getlocaladdr(i32 fd, span *address, u32 *type, u32 *port);
IMPORT(sock_getpeeraddr) sock_getpeeraddr(i32 fd, span *address, u32 *type, u32 *port);
#else
IMPORT(sock_accept) sock_accept(i32 fd, i32 flags, i32 *out);
IMPORT(sock_recv_from) sock_recv_from(i32 fd, span *data, i32 n, span *address, i32 flags, u32 *port, u32 *got, uint16_t *out_flags);
IMPORT(sock_getlocaladdr) sock_getlocaladdr(i32 fd, span *address, u32 *port);
IMPORT(sock_getpeeraddr) sock_getpeeraddr(i32 fd, span *address, u32 *port);
#endif

IMPORT(fd_read) wasi_read(i32 fd, span *data, i32 n, u32 *got);
IMPORT(fd_write) wasi_write(i32 fd, span *data, i32 n, u32 *sent);
IMPORT(fd_pread) wasi_pread(i32 fd, span *data, i32 n, i64 at, u32 *got);
IMPORT(fd_pwrite) wasi_pwrite(i32 fd, span *data, i32 n, i64 at, u32 *sent);
IMPORT(fd_close) wasi_close(i32 fd);
IMPORT(fd_renumber) wasi_renumber(i32 from, i32 to);
IMPORT(fd_fdstat_get) wasi_fdstat_get(i32 fd, void *stat);
IMPORT(fd_fdstat_set_flags) wasi_set_flags(i32 fd, i32 flags);
IMPORT(fd_fdstat_set_rights) wasi_set_rights(i32 fd, i64 base, i64 inheriting);
IMPORT(fd_filestat_get) wasi_filestat_get(i32 fd, void *stat);
IMPORT(fd_filestat_set_size) wasi_set_size(i32 fd, i64 size);
IMPORT(fd_filestat_set_times) wasi_set_times(i32 fd, i64 accessed, i64 modified, i32 flags);
IMPORT(fd_seek) wasi_seek(i32 fd, i64 offset, i32 whence, int64_t *at);
IMPORT(fd_tell) wasi_tell(i32 fd, int64_t *at);
IMPORT(fd_sync) wasi_sync(i32 fd);
IMPORT(fd_datasync) wasi_datasync(i32 fd);
IMPORT(fd_advise) wasi_advise(i32 fd, i64 offset, i64 len, i32 advice);
IMPORT(fd_allocate) wasi_allocate(i32 fd, i64 offset, i64 len);
IMPORT(fd_readdir) wasi_readdir(i32 fd, void *buf, i32 len, i64 cookie, u32 *used);
IMPORT(fd_prestat_get) wasi_prestat_get(i32 fd, void *stat);
IMPORT(fd_prestat_dir_name) wasi_prestat_dir_name(i32 fd, char *name, i32 len);
IMPORT(path_open) wasi_path_open(i32 fd, i32 follow, const char *path, i32 len, i32 how, i64 base, i64 inheriting, i32 flags, i32 *out);
IMPORT(poll_oneoff) wasi_poll(void *subscriptions, void *events, i32 n, u32 *count);

static const char *errors[] = {"ok", "2big", "acces", "addrinuse", "addrnotavail", "afnosupport", "again", "already", "badf",
  "badmsg", "busy", "canceled", "child", "connaborted", "connrefused", "connreset", "deadlk", "destaddrreq", "dom", "dquot",
  "exist", "fault", "fbig", "hostunreach", "idrm", "ilseq", "inprogress", "intr", "inval", "io", "isconn", "isdir", "loop",
  "mfile", "mlink", "msgsize", "multihop", "nametoolong", "netdown", "netreset", "netunreach", "nfile", "nobufs", "nodev",
  "noent", "noexec", "nolck", "nolink", "nomem", "nomsg", "noprotoopt", "nospc", "nosys", "notconn", "notdir", "notempty",
  "notrecoverable", "notsock", "notsup", "notty", "nxio", "overflow", "ownerdead", "perm", "pipe", "proto", "protonosupport",
  "prototype", "range", "rofs", "spipe", "srch", "stale", "timedout", "txtbsy", "xdev", "notcapable"};

static char gave[1 << 16];  // what the call gave, as text
#define GAVE(...) snprintf(gave, sizeof gave, __VA_ARGS__)

// ---- names of descriptors ----
static struct { char name[16]; i32 fd; } names[256];
static int named;

static i32 fd_of(const char *word) {
  for (int i = 0; i < named; i++)
    if (!strcmp(names[i].name, word)) return names[i].fd;
  return *word >= '0' && *word <= '9' ? strtol(word, 0, 0) : -1;
}

static void name_fd(const char *word, i32 fd) {
  int i = 0;
  while (i < named && strcmp(names[i].name, word)) i++;
  if (i == named && named < 255) named++;
  snprintf(names[i].name, sizeof names[i].name, "%s", word);
  names[i].fd = fd;
}


// ---- addresses ----
static uint8_t bytes[128];
static span address = {bytes, sizeof bytes};

static int ipv4(const char *text, uint8_t *out) {
  unsigned a, b, c, d;
  if (sscanf(text, "%u.%u.%u.%u", &a, &b, &c, &d) != 4) return 0;
  out[0] = a, out[1] = b, out[2] = c, out[3] = d;
  return 4;
}

static int ip(const char *text, uint8_t *out) {
  if (!strchr(text, ':')) return ipv4(text, out);
  memset(out, 0, 16);
  if (!strcmp(text, "::1")) out[15] = 1;
  if (!strncmp(text, "::ffff:", 7)) out[10] = out[11] = 255, ipv4(text + 7, out + 12);
  return 16;
}

// 1.2.3.4, ::1 (4 or 16 bytes); any:1.2.3.4 (128 bytes with the family in front); unix:/path; len:N (N zero bytes)
static span *to_address(const char *text) {
  memset(bytes, 0, sizeof bytes);
  address.buf = bytes;
  address.len = sizeof bytes;
  if (!strncmp(text, "unix:", 5)) bytes[0] = 3, snprintf((char *)bytes + 2, sizeof bytes - 2, "%s", text + 5);
  else if (!strncmp(text, "any:", 4)) bytes[0] = ip(text + 4, bytes + 2) == 4 ? 1 : 2;
  else if (!strncmp(text, "len:", 4)) address.len = strtoul(text + 4, 0, 0);
  else address.len = ip(text, bytes);
  return &address;
}

static void ip_text(char *to, size_t size, int family, const uint8_t *b) {
  if (family == 1) snprintf(to, size, "%d.%d.%d.%d", b[0], b[1], b[2], b[3]);
  else if (family == 2) {
    int n = 0;
    for (int i = 0; i < 16; i += 2) n += snprintf(to + n, size - n, i ? ":%x" : "%x", b[i] << 8 | b[i + 1]);
  } else if (family == 3) snprintf(to, size, "unix:%.120s", b);
  else snprintf(to, size, "family %d", family);
}

#ifdef V1
static span *room(void) { memset(bytes, 0, sizeof bytes); address.buf = bytes; address.len = 16; return &address; }
static void gave_address(u32 type, u32 port) {
  char text[128];
  ip_text(text, sizeof text, type == 4 ? 1 : type == 6 ? 2 : 0, bytes);
  GAVE("%s %u", text, port);
}
#else
static span *room(void) { memset(bytes, 0, sizeof bytes); address.buf = bytes; address.len = 128; return &address; }
static void gave_address(u32 port) {
  char text[128];
  ip_text(text, sizeof text, bytes[0] | bytes[1] << 8, bytes + 2);
  GAVE("%s %u", text, port);
}
#endif

static i32 family_of(const char *w) { return !strcmp(w, "inet") ? 1 : !strcmp(w, "inet6") ? 2 : !strcmp(w, "unix") ? 3 : !strcmp(w, "unspec") ? 0 : strtol(w, 0, 0); }
static i32 type_of(const char *w) { return !strcmp(w, "dgram") ? 1 : !strcmp(w, "stream") ? 2 : !strcmp(w, "any") ? 0 : strtol(w, 0, 0); }

// ---- poll: MILLISECONDS (or -), then NAME:r or NAME:w ----
static i32 do_poll(char **word, int n) {
  static uint8_t subs[64 * 48], events[64 * 32];
  u32 count = 0, k = 0;
  memset(subs, 0, sizeof subs);
  for (int i = 1; i < n && i < 63; i++, k++) {
    char *colon = strchr(word[i], ':');
    if (colon) *colon = 0;
    uint64_t user = i;
    i32 fd = fd_of(word[i]);
    memcpy(subs + 48 * k, &user, 8);
    subs[48 * k + 8] = colon && colon[1] == 'w' ? 2 : 1;
    memcpy(subs + 48 * k + 16, &fd, 4);
  }
  if (word[0][0] != '-') {
    uint64_t timeout = strtoull(word[0], 0, 0) * 1000000;
    subs[48 * k + 16] = 1;  // the monotonic clock
    memcpy(subs + 48 * k + 24, &timeout, 8);
    k++;
  }
  i32 e = wasi_poll(subs, events, k, &count);
  int at = GAVE("%u", count);
  for (u32 i = 0; !e && i < count; i++) {
    uint8_t *v = events + 32 * i;
    uint64_t user, size;
    uint16_t error, flags;
    memcpy(&user, v, 8), memcpy(&error, v + 8, 2), memcpy(&size, v + 16, 8), memcpy(&flags, v + 24, 2);
    if (v[10] == 0) at += snprintf(gave + at, sizeof gave - at, " clock");
    else at += snprintf(gave + at, sizeof gave - at, " %s:%s", word[user], v[10] == 2 ? "w" : "r");
    if (error) at += snprintf(gave + at, sizeof gave - at, ":%s", error < 77 ? errors[error] : "?");
    if (flags & 1) at += snprintf(gave + at, sizeof gave - at, ":hup");
  }
  return e;
}

// ---- getaddrinfo: NODE SERVICE [FAMILY TYPE MAX] ----
typedef struct { u32 family, len; uint8_t *data; } gai_address;
typedef struct gai { uint16_t flags; uint8_t family, type; u32 protocol, len; gai_address *address; char *canon; u32 canon_len; struct gai *next; } gai;

static i32 do_getaddrinfo(char **word, int n) {
  static gai list[16];
  static gai_address addresses[16];
  static uint8_t data[16][26];
  static char canon[16][64];
  int max = n > 4 ? atoi(word[4]) : 16;
  for (int i = 0; i < 16; i++) {
    addresses[i] = (gai_address){0, 26, data[i]};
    list[i] = (gai){0, 0, 0, 0, 0, &addresses[i], canon[i], 64, i + 1 < max && i < 15 ? &list[i + 1] : 0};
  }
  gai hints = {0};
  hints.family = n > 2 ? family_of(word[2]) : 0;
  hints.type = n > 3 ? type_of(word[3]) : 0;
  gai *first = list;
  u32 count = 0;
  i32 e = sock_getaddrinfo(word[0], strlen(word[0]), word[1], strlen(word[1]), &hints, &first, max, &count);
  int at = GAVE("%u", count);
  for (u32 i = 0; !e && i < count && i < 16; i++) {
    char text[128];
    uint8_t *d = list[i].address->data;
    ip_text(text, sizeof text, list[i].family ? list[i].family : list[i].address->family & 255, d + 2);
    at += snprintf(gave + at, sizeof gave - at, " %s %d %s", text, d[0] << 8 | d[1], list[i].type == 1 ? "dgram" : list[i].type == 2 ? "stream" : "any");
  }
  return e;
}

// ---- raw: NAME NUMBER...: any function of sockets with any numbers, pointers that point nowhere too ----
static i32 do_raw(char **word, int n) {
  i32 a[10] = {0};
  for (int i = 1; i < n && i < 11; i++) a[i - 1] = strtoll(word[i], 0, 0);
#define RAW(name, ...) if (!strcmp(word[0], #name)) return name(__VA_ARGS__)
#define P(i) ((void *)a[i])
  RAW(sock_open, a[0], a[1], P(2));
  RAW(sock_bind, a[0], P(1), a[2]);
  RAW(sock_listen, a[0], a[1]);
  RAW(sock_connect, a[0], P(1), a[2]);
  RAW(sock_send, a[0], P(1), a[2], a[3], P(4));
  RAW(sock_recv, a[0], P(1), a[2], a[3], P(4), P(5));
  RAW(sock_send_to, a[0], P(1), a[2], P(3), a[4], a[5], P(6));
  RAW(sock_shutdown, a[0], a[1]);
  RAW(sock_getsockopt, a[0], a[1], a[2], P(3), a[4]);
  RAW(sock_setsockopt, a[0], a[1], a[2], P(3), a[4]);
  RAW(sock_getaddrinfo, P(0), a[1], P(2), a[3], P(4), P(5), a[6], P(7));
#ifdef V1
  RAW(sock_accept, a[0], P(1));
  RAW(sock_recv_from, a[0], P(1), a[2], P(3), a[4], P(5), P(6));
  RAW(sock_getlocaladdr, a[0], P(1), P(2), P(3));
  RAW(sock_getpeeraddr, a[0], P(1), P(2), P(3));
#else
  RAW(sock_accept, a[0], a[1], P(2));
  RAW(sock_recv_from, a[0], P(1), a[2], P(3), a[4], P(5), P(6), P(7));
  RAW(sock_getlocaladdr, a[0], P(1), P(2));
  RAW(sock_getpeeraddr, a[0], P(1), P(2));
#endif
  if (!strcmp(word[0], "fd_read")) return wasi_read(a[0], P(1), a[2], P(3));
  if (!strcmp(word[0], "fd_write")) return wasi_write(a[0], P(1), a[2], P(3));
  if (!strcmp(word[0], "fd_fdstat_get")) return wasi_fdstat_get(a[0], P(1));
  if (!strcmp(word[0], "fd_renumber")) return wasi_renumber(a[0], a[1]);
  if (!strcmp(word[0], "poll_oneoff")) return wasi_poll(P(0), P(1), a[2], P(3));
  GAVE("unknown function");
  return -1;
}

// ---- many bytes ----
static char chunk[1 << 16];

static i32 fill(i32 fd, uint64_t size) {
  uint64_t done = 0;
  i32 e = 0;
  memset(chunk, 'x', sizeof chunk);
  while (!e && done < size) {
    u32 sent = 0, want = size - done < sizeof chunk ? size - done : sizeof chunk;
    span s = {chunk, want};
    e = wasi_write(fd, &s, 1, &sent);
    if (!e) done += sent;
  }
  GAVE("%llu", (unsigned long long)done);
  return e;
}

static i32 drain(i32 fd) {
  uint64_t done = 0;
  for (;;) {
    u32 got = 0;
    span s = {chunk, sizeof chunk};
    i32 e = wasi_read(fd, &s, 1, &got);
    if (e || !got) return GAVE("%llu", (unsigned long long)done), e;
    done += got;
  }
}

static void gave_bytes(u32 got) { GAVE("%u \"%.*s\"", got, got < 200 ? (int)got : 200, chunk); }

static i32 run(char **word, int n);

static i32 repeat(char **word, int n) {
  long times = strtol(word[0], 0, 0), done = 0;
  i32 e = 0;
  for (long i = 0; i < times; i++) {
    i32 one = run(word + 1, n - 1);
    if (one) e = one; else done++;
  }
  GAVE("%ld", done);
  return e;
}

// One command: its error number; `gave` has what else came of it.
static i32 run(char **word, int n) {
  const char *c = word[0], *w1 = n > 1 ? word[1] : "", *w2 = n > 2 ? word[2] : "", *w3 = n > 3 ? word[3] : "", *w4 = n > 4 ? word[4] : "";
  i32 fd = fd_of(w1), e, out = -1;
  u32 got = 0;
  _Alignas(8) uint16_t flags = 0;  // some hosts write four bytes
  span data = {chunk, 0};
  gave[0] = 0;
#define IS(name) if (!strcmp(c, name))
  IS("note") return 0;
  IS("repeat") return repeat(word + 1, n - 1);
  IS("raw") return do_raw(word + 1, n - 1);
  IS("poll") return do_poll(word + 1, n - 1);
  IS("lookup") return do_getaddrinfo(word + 1, n - 1);
  IS("open") { if (!(e = sock_open(family_of(w2), type_of(w3), &out))) name_fd(w1, out); return e; }
  IS("bind") return sock_bind(fd, to_address(w2), atoi(w3));
  IS("listen") return sock_listen(fd, n > 2 ? atoi(w2) : 16);
  IS("connect") return sock_connect(fd, to_address(w2), atoi(w3));
#ifdef V1
  IS("accept") { if (!(e = sock_accept(fd_of(w2), &out))) name_fd(w1, out); return e; }
  IS("local") { u32 type = 0, port = 0; e = sock_getlocaladdr(fd, room(), &type, &port); if (!e) gave_address(type, port); return e; }
  IS("peer") { u32 type = 0, port = 0; e = sock_getpeeraddr(fd, room(), &type, &port); if (!e) gave_address(type, port); return e; }
  IS("recvfrom") { data.len = atoi(w2); e = sock_recv_from(fd, &data, 1, room(), atoi(w3), &got, &flags); if (!e) gave_bytes(got); return e; }
#else
  IS("accept") { if (!(e = sock_accept(fd_of(w2), atoi(w3), &out))) name_fd(w1, out); return e; }
  IS("local") { u32 port = 0; e = sock_getlocaladdr(fd, room(), &port); if (!e) gave_address(port); return e; }
  IS("peer") { u32 port = 0; e = sock_getpeeraddr(fd, room(), &port); if (!e) gave_address(port); return e; }
  IS("recvfrom") {
    u32 port = 0;
    data.len = atoi(w2);
    e = sock_recv_from(fd, &data, 1, room(), atoi(w3), &port, &got, &flags);
    if (e) return e;
    gave_address(port);
    size_t at = strlen(gave);
    snprintf(gave + at, sizeof gave - at, " %u \"%.*s\"", got, (int)got, chunk);
    return 0;
  }
#endif
  IS("send") { data = (span){(void *)w2, strlen(w2)}; e = sock_send(fd, &data, 1, atoi(w3), &got); GAVE("%u", got); return e; }
  IS("recv") { data.len = atoi(w2); e = sock_recv(fd, &data, 1, atoi(w3), &got, &flags); if (!e) { gave_bytes(got); if (flags) strcat(gave, " truncated"); } return e; }
  IS("sendto") { span *to = to_address(w2); data = (span){(void *)w4, strlen(w4)}; e = sock_send_to(fd, &data, 1, to, atoi(w3), 0, &got); GAVE("%u", got); return e; }
  IS("shutdown") return sock_shutdown(fd, !strcmp(w2, "read") ? 1 : !strcmp(w2, "write") ? 2 : !strcmp(w2, "both") ? 3 : atoi(w2));
  IS("getopt") { i32 v = -1; e = sock_getsockopt(fd, atoi(w2), atoi(w3), &v, 4); if (!e) GAVE("%d", v); return e; }
  IS("setopt") { i32 v[2] = {atoi(w4), 0}; return sock_setsockopt(fd, atoi(w2), atoi(w3), v, 4); }
  IS("read") { data.len = atoi(w2); e = wasi_read(fd, &data, 1, &got); if (!e) gave_bytes(got); return e; }
  IS("write") { data = (span){(void *)w2, strlen(w2)}; e = wasi_write(fd, &data, 1, &got); GAVE("%u", got); return e; }
  IS("writev") { span two[2] = {{(void *)w2, strlen(w2)}, {(void *)w3, strlen(w3)}}; e = wasi_write(fd, two, 2, &got); GAVE("%u", got); return e; }
  IS("readv") { span two[2] = {{chunk, atoi(w2)}, {chunk + atoi(w2), atoi(w3)}}; e = wasi_read(fd, two, 2, &got); if (!e) gave_bytes(got); return e; }
  IS("fill") return fill(fd, strtoull(w2, 0, 0));
  IS("drain") return drain(fd);
  IS("close") return wasi_close(fd);
  IS("renumber") return wasi_renumber(fd, fd_of(w2));
  IS("fdstat") { uint8_t s[24] = {0}; e = wasi_fdstat_get(fd, s); if (!e) GAVE("type %d flags %d", s[0], s[2] | s[3] << 8); return e; }
  IS("flags") return wasi_set_flags(fd, atoi(w2));
  IS("rights") return wasi_set_rights(fd, 0, 0);
  IS("filestat") { uint8_t s[64] = {0}; e = wasi_filestat_get(fd, s); if (!e) GAVE("type %d", s[16]); return e; }
  IS("setsize") return wasi_set_size(fd, 0);
  IS("settimes") return wasi_set_times(fd, 0, 0, 0);
  IS("seek") { int64_t at; return wasi_seek(fd, 0, 0, &at); }
  IS("tell") { int64_t at; return wasi_tell(fd, &at); }
  IS("sync") return wasi_sync(fd);
  IS("datasync") return wasi_datasync(fd);
  IS("advise") return wasi_advise(fd, 0, 0, 0);
  IS("allocate") return wasi_allocate(fd, 0, 1);
  IS("pread") { data.len = 16; return wasi_pread(fd, &data, 1, 0, &got); }
  IS("pwrite") { data.len = 1; return wasi_pwrite(fd, &data, 1, 0, &got); }
  IS("readdir") return wasi_readdir(fd, chunk, 64, 0, &got);
  IS("prestat") { u32 s[2] = {0}; e = wasi_prestat_get(fd, s); if (!e) GAVE("tag %u length %u", s[0] & 255, s[1]); return e; }
  IS("prestatname") return wasi_prestat_dir_name(fd, chunk, 64);
  IS("pathopen") { if (!(e = wasi_path_open(fd_of(w2), 0, w3, strlen(w3), 0, -1, -1, atoi(w4), &out))) name_fd(w1, out); return e; }
  IS("number") { GAVE("%d", fd); return 0; }
  GAVE("unknown command");
  return -1;
}

static void line(char *text) {
  char *word[80];
  int n = 0;
  printf("%s -> ", text);
  for (char *w = strtok(text, " "); w && n < 80; w = strtok(0, " ")) word[n++] = w;
  if (!n) { printf("ok\n"); return; }
  i32 e = run(word, n);
  printf("%s%s%s\n", e >= 0 && e < 77 ? errors[e] : "?", gave[0] ? " " : "", gave);
  fflush(stdout);
}

int main(int argc, char **argv) {
  static char text[4096];
  for (int i = 1; i < argc; i++) snprintf(text, sizeof text, "%s", argv[i]), line(text);
  if (argc == 1)
    while (fgets(text, sizeof text, stdin)) text[strcspn(text, "\n")] = 0, line(text);
  return 0;
}
