/*
 * A wire between two network namespaces: two TUN devices and what happens to packets in between. Delay, loss, rate,
 * silence and resets are those of packets, so that TCP at both ends meets what it meets outside.
 *
 * wire NAMESPACE NAMESPACE, then lines on standard input:
 *   set MODE DELAY_US LOSS_PPM BYTES_PER_SECOND     MODE: up, silent or reset; a rate of 0 has no limit
 *   count                                            answers `packets bytes packets bytes`, first those of the first side
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 16384, ROOM = 2048 };
typedef struct {
  uint64_t due;
  int length;
  unsigned char bytes[ROOM];
} packet;
typedef struct {
  int in, out;
  packet *slots;
  unsigned first, count;
  uint64_t free_at, packets, bytes;
} lane;

static char mode[16] = "up";
static long delay_us, loss_ppm, rate;
static uint64_t dice = 88172645463325252ull;

static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static long roll(void) {
  dice ^= dice << 13, dice ^= dice >> 7, dice ^= dice << 17;
  return dice % 1000000;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

static int device_in(const char *namespace) {
  char path[256];
  snprintf(path, sizeof path, "/var/run/netns/%s", namespace);
  int there = open(path, O_RDONLY | O_CLOEXEC);
  if (there < 0 || setns(there, CLONE_NEWNET) < 0) die(path);
  close(there);
  int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (device < 0) die("/dev/net/tun");
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  strcpy(request.ifr_name, "link0");
  if (ioctl(device, TUNSETIFF, &request) < 0) die("TUNSETIFF");
  return device;
}

static uint32_t sum(const unsigned char *p, int n, uint32_t s) {
  for (; n > 1; n -= 2, p += 2) s += p[0] << 8 | p[1];
  return n ? s + (p[0] << 8) : s;
}

static uint16_t fold(uint32_t s) {
  while (s >> 16) s = (s & 0xffff) + (s >> 16);
  return htons(~s);
}

/* What a router says whose memory of the connection is gone: RST to the sender (RFC 9293, section 3.10.7.1). */
static void reset(const unsigned char *p, int length, int back) {
  int head = (p[0] & 15) * 4;
  if (length < head + 20 || p[0] >> 4 != 4 || p[9] != 6) return;
  const unsigned char *tcp = p + head;
  if (tcp[13] & 4) return;
  unsigned char out[40] = {0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6};
  memcpy(out + 12, p + 16, 4), memcpy(out + 16, p + 12, 4);
  memcpy(out + 20, tcp + 2, 2), memcpy(out + 22, tcp, 2);
  if (tcp[13] & 16) {
    memcpy(out + 24, tcp + 8, 4);
    out[33] = 4;
  } else {
    uint32_t sequence;
    memcpy(&sequence, tcp + 4, 4);
    int data = length - head - (tcp[12] >> 4) * 4 + ((tcp[13] & 3) != 0);
    sequence = htonl(ntohl(sequence) + data);
    memcpy(out + 28, &sequence, 4);
    out[33] = 4 | 16;
  }
  out[32] = 5 << 4;
  uint16_t check = fold(sum(out, 20, 0));
  memcpy(out + 10, &check, 2);
  check = fold(sum(out + 20, 20, sum(out + 12, 8, 6 + 20)));
  memcpy(out + 36, &check, 2);
  if (write(back, out, 40) < 0) return;
}

static void take(lane *l) {
  for (int n = 0; n < 64; n++) {
    unsigned char spare[ROOM];
    packet *slot = &l->slots[(l->first + l->count) % SLOTS];
    unsigned char *to = l->count < SLOTS ? slot->bytes : spare;
    int length = read(l->in, to, ROOM);
    if (length <= 0) return;
    l->packets++, l->bytes += length;
    if (mode[0] == 'r') reset(to, length, l->in);
    if (mode[0] != 'u' || l->count == SLOTS || roll() < loss_ppm) continue;
    uint64_t now = now_us(), start = l->free_at > now ? l->free_at : now;
    l->free_at = rate ? start + length * 1000000ull / rate : start;
    slot->due = l->free_at + delay_us;
    slot->length = length;
    l->count++;
  }
}

static void give(lane *l, uint64_t now) {
  while (l->count && l->slots[l->first].due <= now) {
    packet *p = &l->slots[l->first];
    if (write(l->out, p->bytes, p->length) < 0 && mode[0] == 'u') perror("write");
    l->first = (l->first + 1) % SLOTS, l->count--;
  }
}

static void obey(lane *up, lane *down) {
  char text[256];
  int length = read(0, text, sizeof text - 1);
  if (length <= 0) exit(0);
  text[length] = 0;
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    if (line[0] == 'c')
      printf("%lu %lu %lu %lu\n", up->packets, up->bytes, down->packets, down->bytes);
    else if (sscanf(line, "set %15s %ld %ld %ld", mode, &delay_us, &loss_ppm, &rate) == 4) {
      /* What is on its way when the wire is cut does not arrive. */
      if (mode[0] != 'u') up->count = down->count = 0;
      puts("ok");
    }
  }
  fflush(stdout);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  int a = device_in(argv[1]), b = device_in(argv[2]);
  lane lanes[2] = {{.in = a, .out = b}, {.in = b, .out = a}};
  for (int i = 0; i < 2; i++)
    if (!(lanes[i].slots = calloc(SLOTS, sizeof(packet)))) die("calloc");
  puts("ready");
  fflush(stdout);
  for (;;) {
    uint64_t now = now_us(), next = now + 1000000;
    for (int i = 0; i < 2; i++)
      if (lanes[i].count && lanes[i].slots[lanes[i].first].due < next) next = lanes[i].slots[lanes[i].first].due;
    struct timespec wait = {0, next > now ? (long)(next - now) * 1000 : 0};
    if (wait.tv_nsec >= 1000000000) wait = (struct timespec){1, 0};
    struct pollfd polls[3] = {{a, POLLIN, 0}, {b, POLLIN, 0}, {0, POLLIN, 0}};
    ppoll(polls, 3, &wait, NULL);
    if (polls[2].revents) obey(&lanes[0], &lanes[1]);
    for (int i = 0; i < 2; i++) {
      if (polls[i].revents) take(&lanes[i]);
      give(&lanes[i], now_us());
    }
  }
}
