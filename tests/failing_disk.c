/* A disk that fails at its n-th write: preloaded, it counts the calls that change anything in one folder, in all
   processes together, and lets one of them, or that one and all further ones, fail with an error of choice.
   tests/failing_disk.py compiles it and holds the other end of the state file. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

struct state {
    int64_t calls;   /* counted since the last reset */
    int64_t at;      /* the call that fails, from 1; 0: none */
    int64_t error;   /* errno */
    int64_t lasting; /* whether all further calls fail too */
    int64_t failed;  /* calls that did */
    char folder[4096];
};

static struct state *state;

__attribute__((constructor)) static void attach(void)
{
    const char *path = getenv("FAILING_DISK");
    if (!path) return;
    int (*real_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    int fd = real_open(path, O_RDWR);
    if (fd < 0) return;
    void *memory = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory != MAP_FAILED) state = memory;
    close(fd);
}

static int fails(const char *path)
{
    if (!state || !state->folder[0] || strncmp(path, state->folder, strlen(state->folder))) return 0;
    int64_t call = __atomic_add_fetch(&state->calls, 1, __ATOMIC_SEQ_CST);
    if (!state->at || call < state->at || (call > state->at && !state->lasting)) return 0;
    __atomic_add_fetch(&state->failed, 1, __ATOMIC_SEQ_CST);
    errno = (int)state->error;
    return 1;
}

static int path_fails(int folder, const char *path)
{
    char whole[2 * PATH_MAX], base[PATH_MAX];
    if (!state) return 0;
    if (path[0] == '/') return fails(path);
    if (folder == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return 0;
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t length = readlink(link, base, sizeof base - 1);
        if (length < 0) return 0;
        base[length] = 0;
    }
    snprintf(whole, sizeof whole, "%s/%s", base, path);
    return fails(whole);
}

static int fd_fails(int fd)
{
    char link[64], path[PATH_MAX];
    if (!state) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define ON_FD(type, name, fd, parameters, ...) \
    type name parameters { return fd_fails(fd) ? -1 : REAL(name)(__VA_ARGS__); }

ON_FD(ssize_t, write, fd, (int fd, const void *data, size_t size), fd, data, size)
ON_FD(ssize_t, pwrite, fd, (int fd, const void *data, size_t size, off_t at), fd, data, size, at)
ON_FD(ssize_t, pwrite64, fd, (int fd, const void *data, size_t size, off64_t at), fd, data, size, at)
ON_FD(ssize_t, writev, fd, (int fd, const struct iovec *parts, int count), fd, parts, count)
ON_FD(int, fsync, fd, (int fd), fd)
ON_FD(int, fdatasync, fd, (int fd), fd)
ON_FD(int, ftruncate, fd, (int fd, off_t size), fd, size)
ON_FD(int, ftruncate64, fd, (int fd, off64_t size), fd, size)
ON_FD(ssize_t, copy_file_range, out, (int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags),
      in, from, out, to, size, flags)

int rename(const char *from, const char *to)
{
    return path_fails(AT_FDCWD, to) ? -1 : REAL(rename)(from, to);
}

int renameat(int a, const char *from, int b, const char *to)
{
    return path_fails(b, to) ? -1 : REAL(renameat)(a, from, b, to);
}

int mkdir(const char *path, mode_t mode)
{
    /* One that exists is no change. */
    return access(path, F_OK) && path_fails(AT_FDCWD, path) ? -1 : REAL(mkdir)(path, mode);
}

int mkdirat(int folder, const char *path, mode_t mode)
{
    return faccessat(folder, path, F_OK, 0) && path_fails(folder, path) ? -1 : REAL(mkdirat)(folder, path, mode);
}

/* Opening fails where it would create a file. */
#define OPEN(name, folder, parameters, call)                            \
    int name parameters                                                 \
    {                                                                   \
        mode_t mode = 0;                                                \
        if (flags & O_CREAT) {                                          \
            va_list rest;                                               \
            va_start(rest, flags);                                      \
            mode = va_arg(rest, mode_t);                                \
            va_end(rest);                                               \
            if (path_fails(folder, path)) return -1;                    \
        }                                                               \
        return REAL(name) call;                                         \
    }

OPEN(open, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, folder, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))
OPEN(openat64, folder, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))
