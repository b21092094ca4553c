/* SPDX-License-Identifier: MIT
 *
 * Makes system calls and allocations of a program fail while a test says so, every N-th of a kind
 * or some after so many; or ends the program there: preloaded (ld.so(8), LD_PRELOAD). The test and
 * the program share the file $LANYARD_FAULTS, a row for each kind (struct row); the test writes
 * which are to fail and how, and reads what was counted. With $LANYARD_FAULTS_PROGRAM, only the
 * program of that name shares it: those that it starts inherit the library, and suffer nothing.
 *
 * It must not need what it breaks, so it asks the kernel itself, and glibc's allocator by its
 * inner name. Threads may call in here at the same time; the rows are lock-free.
 */
#define _GNU_SOURCE
/* glibc declares addresses of sockets as transparent unions. */
#pragma GCC diagnostic ignored "-Wpedantic"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* What can fail, in the order of the rows. */
#define KINDS(X)                                                                                  \
  X(accept4)                                                                                      \
  X(bind)                                                                                         \
  X(connect)                                                                                      \
  X(epoll_ctl)                                                                                    \
  X(epoll_pwait)                                                                                  \
  X(fcntl) X(free) X(fstatat) X(fsync) X(getsockopt) X(ioctl) X(listen) X(malloc) X(memfd_create) \
      X(mmap) X(open) X(ppoll) X(read) X(recv) X(recvmmsg) X(recvmsg) X(rename) X(send)           \
          X(sendmmsg) X(setsockopt) X(socket) X(unlink) X(unlinkat) X(write) X(writev)

#define ENUMERATOR(name) kind_##name,
enum kind { KINDS(ENUMERATOR) kinds };

struct row {
  char name[32];
  _Atomic uint32_t every; /* of so many one fails; 0: none */
  int32_t error;          /* 0: the end of the program, by SIGKILL */
  _Atomic uint64_t skip;  /* so many succeed, */
  _Atomic uint64_t fail;  /* and so many then fail */
  _Atomic uint64_t calls;
  _Atomic uint64_t failed;
};

#define NAMED(call) {.name = #call},
static struct row own_rows[kinds] = {KINDS(NAMED)};
static struct row* rows = own_rows;

/* Takes one of those that are left. */
static bool take(_Atomic uint64_t* left) {
  uint64_t now = atomic_load(left);
  while (now != 0) {
    if (atomic_compare_exchange_weak(left, &now, now - 1)) return true;
  }
  return false;
}

static bool fails(enum kind kind) {
  struct row* const row = &rows[kind];
  const uint64_t number = atomic_fetch_add(&row->calls, 1) + 1;
  const uint32_t every = atomic_load(&row->every);
  const bool in_turn = every != 0 && number % every == 0;
  const bool after = atomic_load(&row->fail) != 0 && !take(&row->skip) && take(&row->fail);
  if (!in_turn && !after) return false;
  atomic_fetch_add(&row->failed, 1);
  if (row->error == 0) syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
  errno = row->error;
  return true;
}

__attribute__((constructor)) static void share_rows(void) {
  const char* const path = getenv("LANYARD_FAULTS");
  const char* const program = getenv("LANYARD_FAULTS_PROGRAM");
  if (path == NULL) return;
  if (program != NULL && strcmp(program, program_invocation_short_name) != 0) return;
  const long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  struct row* const shared = (struct row*)syscall(SYS_mmap, NULL, sizeof own_rows,
                                                  PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  syscall(SYS_close, fd);
  if (shared == (struct row*)MAP_FAILED) return;
  for (int i = 0; i < kinds; ++i) memcpy(shared[i].name, own_rows[i].name, sizeof own_rows[i].name);
  rows = shared;
}

/* ---- system calls ---- */

/* Defines the function NAME, which makes the system call of the same name. */
#define CALL(type, name, parameters, ...)                        \
  type name parameters {                                         \
    return fails(kind_##name) ? -1 : (type)syscall(__VA_ARGS__); \
  }

/* What a sandbox knows is what glibc calls: the older ones where there are any. */
#ifdef SYS_rename
#define RENAME(from, to) SYS_rename, from, to
#define UNLINK(path) SYS_unlink, path
#else
#define RENAME(from, to) SYS_renameat, AT_FDCWD, from, AT_FDCWD, to
#define UNLINK(path) SYS_unlinkat, AT_FDCWD, path, 0
#endif

CALL(int, accept4, (int fd, struct sockaddr* address, socklen_t* size, int flags), SYS_accept4, fd,
     address, size, flags)
CALL(int, bind, (int fd, const struct sockaddr* address, socklen_t size), SYS_bind, fd, address,
     size)
CALL(int, connect, (int fd, const struct sockaddr* address, socklen_t size), SYS_connect, fd,
     address, size)
CALL(int, epoll_ctl, (int epoll, int operation, int fd, struct epoll_event* event), SYS_epoll_ctl,
     epoll, operation, fd, event)
CALL(int, epoll_pwait,
     (int epoll, struct epoll_event* events, int most, int wait_ms, const sigset_t* mask),
     SYS_epoll_pwait, epoll, events, most, wait_ms, mask, _NSIG / 8)
CALL(int, fstatat, (int fd, const char* path, struct stat* info, int flags), SYS_newfstatat, fd,
     path, info, flags)
CALL(int, fsync, (int fd), SYS_fsync, fd)
CALL(int, getsockopt, (int fd, int level, int name, void* value, socklen_t* size), SYS_getsockopt,
     fd, level, name, value, size)
CALL(int, listen, (int fd, int backlog), SYS_listen, fd, backlog)
CALL(int, memfd_create, (const char* name, unsigned int flags), SYS_memfd_create, name, flags)
CALL(ssize_t, read, (int fd, void* bytes, size_t size), SYS_read, fd, bytes, size)
CALL(ssize_t, recv, (int fd, void* bytes, size_t size, int flags), SYS_recvfrom, fd, bytes, size,
     flags, NULL, NULL)
CALL(int, recvmmsg,
     (int fd, struct mmsghdr* messages, unsigned int count, int flags, struct timespec* timeout),
     SYS_recvmmsg, fd, messages, count, flags, timeout)
CALL(ssize_t, recvmsg, (int fd, struct msghdr* message, int flags), SYS_recvmsg, fd, message, flags)
CALL(int, rename, (const char* from, const char* to), RENAME(from, to))
CALL(ssize_t, send, (int fd, const void* bytes, size_t size, int flags), SYS_sendto, fd, bytes,
     size, flags, NULL, 0)
CALL(int, sendmmsg, (int fd, struct mmsghdr* messages, unsigned int count, int flags), SYS_sendmmsg,
     fd, messages, count, flags)
CALL(int, setsockopt, (int fd, int level, int name, const void* value, socklen_t size),
     SYS_setsockopt, fd, level, name, value, size)
CALL(int, socket, (int family, int type, int protocol), SYS_socket, family, type, protocol)
CALL(int, unlink, (const char* path), UNLINK(path))
CALL(int, unlinkat, (int directory, const char* path, int flags), SYS_unlinkat, directory, path,
     flags)
CALL(ssize_t, write, (int fd, const void* bytes, size_t size), SYS_write, fd, bytes, size)
CALL(ssize_t, writev, (int fd, const struct iovec* parts, int count), SYS_writev, fd, parts, count)

int ppoll(struct pollfd* entries, nfds_t count, const struct timespec* wait, const sigset_t* mask) {
  struct timespec left;
  if (fails(kind_ppoll)) return -1;
  if (wait != NULL) left = *wait; /* the kernel writes there what is left */
  return (int)syscall(SYS_ppoll, entries, count, wait != NULL ? &left : NULL, mask, _NSIG / 8);
}

void* mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset) {
  if (fails(kind_mmap)) return MAP_FAILED;
  return (void*)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
}

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return fails(kind_open) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int fcntl(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  const long argument = va_arg(rest, long);
  va_end(rest);
  return fails(kind_fcntl) ? -1 : (int)syscall(SYS_fcntl, fd, command, argument);
}

/* What C++ programs call, where offsets of files have 64 bits anyway. */
int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));
int open64(const char* path, int flags, ...) __attribute__((alias("open")));
void* mmap64(void* at, size_t size, int protection, int flags, int fd, off_t offset)
    __attribute__((alias("mmap")));

int ioctl(int fd, unsigned long request, ...) {
  va_list rest;
  va_start(rest, request);
  const long argument = va_arg(rest, long);
  va_end(rest);
  return fails(kind_ioctl) ? -1 : (int)syscall(SYS_ioctl, fd, request, argument);
}

/* ---- memory: whatever allocates counts as malloc, if it makes a new block; `free` never fails
 * ---- */

void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void* __libc_realloc(void* old, size_t size);
void __libc_free(void* block);

void* malloc(size_t size) {
  return fails(kind_malloc) ? NULL : __libc_malloc(size);
}

void* calloc(size_t count, size_t size) {
  return fails(kind_malloc) ? NULL : __libc_calloc(count, size);
}

void* aligned_alloc(size_t alignment, size_t size) {
  return fails(kind_malloc) ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void** block, size_t alignment, size_t size) {
  void* const made = aligned_alloc(alignment, size);
  if (made == NULL) return ENOMEM;
  *block = made;
  return 0;
}

void* realloc(void* old, size_t size) {
  if (old == NULL) return malloc(size);
  if (size == 0) {
    free(old);
    return NULL;
  }
  if (fails(kind_malloc)) return NULL;
  void* const made = __libc_realloc(old, size);
  /* A block more, and one less. */
  if (made != NULL) atomic_fetch_add(&rows[kind_free].calls, 1);
  return made;
}

void free(void* block) {
  if (block != NULL) atomic_fetch_add(&rows[kind_free].calls, 1);
  __libc_free(block);
}
