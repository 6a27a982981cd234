/*
 * Preloaded into the process under test: writes down, in order, every change that the process makes to files below
 * SHIM_ROOT (from JavaScript or from native code alike) and every byte count that it sends to a TCP peer, so that a
 * harness knows what had been promised when. It can also slow fsync down or let writes fail, as a worn or full card does.
 *
 * One record: u32 type, u32 thread, i64 a, i64 b, u32 name length, u32 data length, name, data (see trace.ts).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { CREATE = 1, WRITE, TRUNCATE, SYNC_BEGIN, SYNC_END, UNLINK, RENAME, MKDIR, SEND, UNSENT, ACCEPT };

#define MAX_FD 65536
static char *names[MAX_FD];
static char root[PATH_MAX];
static size_t root_length;
static int trace_fd = -1;
static long sync_delay_us;
static const char *fault_file;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_sendmsg)(int, const struct msghdr *, int);
static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_close)(int);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);
static int (*real_mkdir)(const char *, mode_t);
static int (*real_accept4)(int, struct sockaddr *, socklen_t *, int);

__attribute__((constructor)) static void start(void) {
  real_write = dlsym(RTLD_NEXT, "write");
  real_writev = dlsym(RTLD_NEXT, "writev");
  real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
  real_sendmsg = dlsym(RTLD_NEXT, "sendmsg");
  real_open = dlsym(RTLD_NEXT, "open64");
  real_openat = dlsym(RTLD_NEXT, "openat64");
  real_close = dlsym(RTLD_NEXT, "close");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
  real_unlink = dlsym(RTLD_NEXT, "unlink");
  real_rename = dlsym(RTLD_NEXT, "rename");
  real_mkdir = dlsym(RTLD_NEXT, "mkdir");
  real_accept4 = dlsym(RTLD_NEXT, "accept4");
  const char *asked = getenv("SHIM_ROOT");
  if (asked != NULL && strlen(asked) < sizeof root) {
    strcpy(root, asked);
    root_length = strlen(root);
  }
  const char *delay = getenv("SHIM_SYNC_DELAY_US");
  if (delay != NULL) sync_delay_us = atol(delay);
  fault_file = getenv("SHIM_FAULT_FILE");
  const char *trace = getenv("SHIM_TRACE");
  if (trace != NULL) trace_fd = real_open(trace, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static int inside(const char *path) {
  return root_length > 0 && strncmp(path, root, root_length) == 0 &&
         (path[root_length] == '/' || path[root_length] == '\0');
}

/* Called with the lock held, so that the order of records is the order of what they tell. */
static void record(uint32_t type, int64_t a, int64_t b, const char *name, const struct iovec *parts, int count,
                   size_t bytes) {
  if (trace_fd < 0) return;
  struct { uint32_t type, thread; int64_t a, b; uint32_t name_length, data_length; } head = {
      type, (uint32_t)syscall(SYS_gettid), a, b, name == NULL ? 0 : (uint32_t)strlen(name), (uint32_t)bytes};
  struct iovec out[66];
  if (count > 64) abort();
  out[0] = (struct iovec){&head, sizeof head};
  out[1] = (struct iovec){(void *)name, head.name_length};
  for (int i = 0; i < count; i++) out[i + 2] = parts[i];
  size_t want = sizeof head + head.name_length + bytes;
  if (real_writev(trace_fd, out, count + 2) != (ssize_t)want) abort();
}

static size_t sum(const struct iovec *parts, int count) {
  size_t bytes = 0;
  for (int i = 0; i < count; i++) bytes += parts[i].iov_len;
  return bytes;
}

static void forget(int fd) {
  free(names[fd]);
  names[fd] = NULL;
}

/* What has no position is no file: the number was closed past us and used again for a connection. */
static const char *name_of(int fd) {
  if (fd < 0 || fd >= MAX_FD || names[fd] == NULL) return NULL;
  int kept = errno;
  if (lseek(fd, 0, SEEK_CUR) < 0) forget(fd);
  errno = kept;
  return names[fd];
}

static int port_of(const struct sockaddr_storage *address) {
  if (address->ss_family == AF_INET) return ntohs(((const struct sockaddr_in *)address)->sin_port);
  if (address->ss_family == AF_INET6) return ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
  return 0;
}

/* Our port times 65536 plus the peer's, or 0 for what is no TCP connection. */
static int64_t connection_of(int fd) {
  struct sockaddr_storage ours, peer;
  socklen_t our_length = sizeof ours, peer_length = sizeof peer;
  int kept = errno;
  int64_t key = 0;
  if (getpeername(fd, (struct sockaddr *)&peer, &peer_length) == 0 && port_of(&peer) != 0 &&
      getsockname(fd, (struct sockaddr *)&ours, &our_length) == 0)
    key = (int64_t)port_of(&ours) * 65536 + port_of(&peer);
  errno = kept;
  return key;
}

/* While the fault file exists, its first word is the error of every write: ENOSPC, EROFS or EIO. */
static int fault(void) {
  if (fault_file == NULL) return 0;
  int kept = errno, fd = real_open(fault_file, O_RDONLY | O_CLOEXEC);
  char word[8] = "";
  if (fd >= 0) {
    ssize_t got = read(fd, word, sizeof word - 1);
    (void)got;
    real_close(fd);
  }
  errno = kept;
  if (strncmp(word, "ENOSPC", 6) == 0) return ENOSPC;
  if (strncmp(word, "EROFS", 5) == 0) return EROFS;
  if (strncmp(word, "EIO", 3) == 0) return EIO;
  return 0;
}

static int opened(int fd, const char *path, int existed, int flags) {
  if (fd < 0 || fd >= MAX_FD) return fd;
  if ((flags & O_CREAT) != 0 && !existed) record(CREATE, 0, 0, path, NULL, 0, 0);
  if ((flags & O_TRUNC) != 0 && existed) record(TRUNCATE, 0, 0, path, NULL, 0, 0);
  free(names[fd]);
  names[fd] = strdup(path);
  return fd;
}

static int open_any(int directory, const char *path, int flags, mode_t mode) {
  int watched = path[0] == '/' && inside(path);
  if (!watched) {
    int fd = real_openat(directory, path, flags, mode);
    if (fd >= 0 && fd < MAX_FD && names[fd] != NULL) {
      free(names[fd]);
      names[fd] = NULL;
    }
    return fd;
  }
  int failure = (flags & (O_CREAT | O_WRONLY | O_RDWR)) != 0 && (flags & O_CREAT) != 0 && access(path, F_OK) != 0 ? fault() : 0;
  if (failure != 0) {
    errno = failure;
    return -1;
  }
  pthread_mutex_lock(&lock);
  int existed = access(path, F_OK) == 0;
  int fd = opened(real_openat(directory, path, flags, mode), path, existed, flags);
  pthread_mutex_unlock(&lock);
  return fd;
}

#define MODE(flags, last)                                \
  mode_t mode = 0;                                       \
  if (((flags) & (O_CREAT | O_TMPFILE)) != 0) {          \
    va_list rest;                                        \
    va_start(rest, last);                                \
    mode = va_arg(rest, mode_t);                         \
    va_end(rest);                                        \
  }

int open(const char *path, int flags, ...) { MODE(flags, flags) return open_any(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, flags) return open_any(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags, flags) return open_any(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags, flags) return open_any(at, path, flags, mode); }

int close(int fd) {
  if (fd >= 0 && fd < MAX_FD && names[fd] != NULL) forget(fd);
  return real_close(fd);
}

/* `offset` -1: at the position of the descriptor. */
static ssize_t write_file(int fd, const char *name, const struct iovec *parts, int count, off_t offset) {
  int failure = fault();
  if (failure != 0) {
    errno = failure;
    return -1;
  }
  pthread_mutex_lock(&lock);
  off_t at = offset >= 0 ? offset : (fcntl(fd, F_GETFL) & O_APPEND) ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
  record(WRITE, at, 0, name, parts, count, sum(parts, count));
  ssize_t written = offset >= 0 ? real_pwrite(fd, parts[0].iov_base, parts[0].iov_len, offset) : real_writev(fd, parts, count);
  pthread_mutex_unlock(&lock);
  return written;
}

static void sending(int64_t port, size_t bytes) {
  pthread_mutex_lock(&lock);
  record(SEND, port, (int64_t)bytes, NULL, NULL, 0, 0);
  pthread_mutex_unlock(&lock);
}

static ssize_t sent(int64_t port, size_t bytes, ssize_t done) {
  if (done == (ssize_t)bytes) return done;
  int kept = errno;
  pthread_mutex_lock(&lock);
  record(UNSENT, port, (int64_t)bytes - (done > 0 ? done : 0), NULL, NULL, 0, 0);
  pthread_mutex_unlock(&lock);
  errno = kept;
  return done;
}

ssize_t write(int fd, const void *data, size_t bytes) {
  const char *name = name_of(fd);
  struct iovec part = {(void *)data, bytes};
  if (name != NULL) return write_file(fd, name, &part, 1, -1);
  int64_t port = trace_fd >= 0 ? connection_of(fd) : 0;
  if (port == 0) return real_write(fd, data, bytes);
  sending(port, bytes);
  return sent(port, bytes, real_write(fd, data, bytes));
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  const char *name = name_of(fd);
  if (name != NULL) return write_file(fd, name, parts, count, -1);
  int64_t port = trace_fd >= 0 ? connection_of(fd) : 0;
  if (port == 0) return real_writev(fd, parts, count);
  sending(port, sum(parts, count));
  return sent(port, sum(parts, count), real_writev(fd, parts, count));
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  int64_t port = trace_fd >= 0 ? connection_of(fd) : 0;
  if (port == 0) return real_sendmsg(fd, message, flags);
  size_t bytes = sum(message->msg_iov, (int)message->msg_iovlen);
  sending(port, bytes);
  return sent(port, bytes, real_sendmsg(fd, message, flags));
}

static ssize_t pwrite_any(int fd, const void *data, size_t bytes, off_t offset) {
  const char *name = name_of(fd);
  if (name == NULL) return real_pwrite(fd, data, bytes, offset);
  struct iovec part = {(void *)data, bytes};
  return write_file(fd, name, &part, 1, offset);
}
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) { return pwrite_any(fd, data, bytes, offset); }
ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t offset) { return pwrite_any(fd, data, bytes, offset); }

static int truncate_any(int fd, off_t size) {
  const char *name = name_of(fd);
  if (name == NULL) return real_ftruncate(fd, size);
  pthread_mutex_lock(&lock);
  record(TRUNCATE, size, 0, name, NULL, 0, 0);
  int result = real_ftruncate(fd, size);
  pthread_mutex_unlock(&lock);
  return result;
}
int ftruncate(int fd, off_t size) { return truncate_any(fd, size); }
int ftruncate64(int fd, off64_t size) { return truncate_any(fd, size); }

static int sync_any(int fd, int (*real)(int)) {
  const char *name = name_of(fd);
  if (name == NULL) return real(fd);
  int failure = fault();
  if (failure == EIO) {
    errno = failure;
    return -1;
  }
  char *kept = strdup(name);
  pthread_mutex_lock(&lock);
  record(SYNC_BEGIN, fd, 0, kept, NULL, 0, 0);
  pthread_mutex_unlock(&lock);
  if (sync_delay_us > 0) {
    struct timespec pause = {sync_delay_us / 1000000, (sync_delay_us % 1000000) * 1000};
    nanosleep(&pause, NULL);
  }
  int result = real(fd);
  if (result == 0) {
    pthread_mutex_lock(&lock);
    record(SYNC_END, fd, 0, kept, NULL, 0, 0);
    pthread_mutex_unlock(&lock);
  }
  free(kept);
  return result;
}
int fsync(int fd) { return sync_any(fd, real_fsync); }
int fdatasync(int fd) { return sync_any(fd, real_fdatasync); }

int unlink(const char *path) {
  if (!inside(path)) return real_unlink(path);
  pthread_mutex_lock(&lock);
  int result = real_unlink(path);
  if (result == 0) record(UNLINK, 0, 0, path, NULL, 0, 0);
  pthread_mutex_unlock(&lock);
  return result;
}

int rename(const char *from, const char *to) {
  if (!inside(from) && !inside(to)) return real_rename(from, to);
  pthread_mutex_lock(&lock);
  int result = real_rename(from, to);
  struct iovec target = {(void *)to, strlen(to)};
  if (result == 0) record(RENAME, 0, 0, from, &target, 1, target.iov_len);
  pthread_mutex_unlock(&lock);
  return result;
}

int mkdir(const char *path, mode_t mode) {
  if (!inside(path)) return real_mkdir(path, mode);
  pthread_mutex_lock(&lock);
  int result = real_mkdir(path, mode);
  if (result == 0) record(MKDIR, 0, 0, path, NULL, 0, 0);
  pthread_mutex_unlock(&lock);
  return result;
}

int accept4(int fd, struct sockaddr *peer, socklen_t *length, int flags) {
  int accepted = real_accept4(fd, peer, length, flags);
  int64_t port = accepted >= 0 && trace_fd >= 0 ? connection_of(accepted) : 0;
  if (port != 0) {
    pthread_mutex_lock(&lock);
    record(ACCEPT, port, 0, NULL, NULL, 0, 0);
    pthread_mutex_unlock(&lock);
  }
  return accepted;
}
