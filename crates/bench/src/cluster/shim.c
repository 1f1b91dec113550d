/* Stands between a server and its disk: delays the syncs of files, or fails one. To be preloaded.
 *
 * What it does stands in the file that GANTRY_SHIM names, and may change at any time:
 *   delay MS       every sync takes so much longer
 *   fail NTH PART  the NTH sync from then on of a file whose path has PART in it fails with EIO; the others do not
 * Anything else, or no file: nothing. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char told[256];
static long counted;

static void read_told(char *into, size_t size) {
    const char *path = getenv("GANTRY_SHIM");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, into, size - 1);
    into[length < 0 ? 0 : length] = 0;
    if (fd >= 0)
        close(fd);
}

static int is_meant(int fd, const char *part) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    return strstr(path, part) != NULL;
}

/* Nonzero where this sync is to fail. */
static int before(int fd) {
    char now[sizeof told], part[128];
    long number;
    int fails = 0;
    read_told(now, sizeof now);
    if (sscanf(now, "delay %ld", &number) == 1) {
        struct timespec wait = {number / 1000, number % 1000 * 1000000};
        nanosleep(&wait, NULL);
    }
    pthread_mutex_lock(&lock);
    if (strcmp(now, told) != 0) {
        strcpy(told, now);
        counted = 0;
    }
    if (sscanf(now, "fail %ld %127s", &number, part) == 2 && is_meant(fd, part))
        fails = ++counted == number;
    pthread_mutex_unlock(&lock);
    return fails;
}

static int pass_on(const char *name, int fd) {
    if (before(fd)) {
        errno = EIO;
        return -1;
    }
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(fd);
}

int fsync(int fd) { return pass_on("fsync", fd); }

int fdatasync(int fd) { return pass_on("fdatasync", fd); }
