/* What tests put in front of a bot's libc: the loss of power, a file system without locks, a clock that jumps.
 *
 * HARM_ROOT, HARM_SHADOW: files below the first are copied into the second when they are synced, so that it
 * holds what the loss of power would leave, at the worst: a file has the bytes of its last sync, a folder the
 * names that it had when it was synced itself, less those that were removed or renamed since.
 * HARM_SYNC_US: each sync takes so long.
 * HARM_NO_FLOCK: `flock` is not to be had.
 * HARM_CLOCK: a file whose text is added to the wall clock, in seconds.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static int is_below(const char *path) {
    const char *root = getenv("HARM_ROOT");
    return root && strncmp(path, root, strlen(root)) == 0;
}

static void place_of(char *out, const char *kind, const char *name) {
    snprintf(out, PATH_MAX, "%s/%s-%s", getenv("HARM_SHADOW"), kind, name);
    for (char *at = out + strlen(getenv("HARM_SHADOW")) + 1; *at; at++)
        if (*at == '/') *at = '@';
}

static void number_of(char *out, const struct stat *found) {
    char name[64];
    snprintf(name, sizeof name, "%lu", (unsigned long)found->st_ino);
    place_of(out, "file", name);
}

static int lock_shadow(void) { /* other processes have the same shadow */
    char path[PATH_MAX];
    place_of(path, "lock", "");
    pthread_mutex_lock(&one_at_a_time);
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    syscall(SYS_flock, fd, LOCK_EX);
    return fd;
}

static void unlock_shadow(int fd) {
    close(fd);
    pthread_mutex_unlock(&one_at_a_time);
}

/* Through the descriptor at hand: closing another of the same file would drop SQLite's locks on it. */
static void copy_file(int fd, const char *to) {
    char half[PATH_MAX + 8], block[65536];
    snprintf(half, sizeof half, "%s.half", to);
    int out = open(half, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    ssize_t got;
    off_t at = 0;
    while ((got = pread(fd, block, sizeof block, at)) > 0) {
        if (write(out, block, got) != got) abort();
        at += got;
    }
    close(out);
    REAL(rename)(half, to);
}

static void list_folder(const char *path, const char *to) {
    char half[PATH_MAX + 8], inside[PATH_MAX * 2];
    snprintf(half, sizeof half, "%s.half", to);
    FILE *out = fopen(half, "we");
    DIR *folder = opendir(path);
    struct dirent *entry;
    struct stat found;
    while (folder && (entry = readdir(folder))) {
        snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] == '.' || lstat(inside, &found)) continue;
        fprintf(out, "%c %lu %s\n", S_ISDIR(found.st_mode) ? 'd' : 'f', (unsigned long)found.st_ino, entry->d_name);
    }
    if (folder) closedir(folder);
    fclose(out);
    REAL(rename)(half, to);
}

static void synced(int fd) {
    char link[64], path[PATH_MAX], to[PATH_MAX];
    struct stat found;
    const char *delay = getenv("HARM_SYNC_US");
    if (delay) usleep(atoi(delay));
    if (!getenv("HARM_SHADOW")) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0 || fstat(fd, &found)) return;
    path[length] = 0;
    if (!is_below(path)) return;
    int lock = lock_shadow();
    if (S_ISDIR(found.st_mode)) {
        place_of(to, "folder", path);
        list_folder(path, to);
    } else {
        number_of(to, &found);
        copy_file(fd, to);
    }
    unlock_shadow(lock);
}

static void forget(const char *path, int and_its_bytes) {
    char resolved[PATH_MAX], to[PATH_MAX], half[PATH_MAX + 8], line[PATH_MAX], number[PATH_MAX];
    struct stat found;
    if (!getenv("HARM_SHADOW") || !realpath(path, resolved) || !is_below(resolved)) return;
    int lock = lock_shadow();
    if (and_its_bytes && !stat(resolved, &found) && found.st_nlink == 1) {
        number_of(number, &found);
        REAL(unlink)(number);
    }
    char *name = strrchr(resolved, '/');
    *name++ = 0;
    place_of(to, "folder", resolved);
    snprintf(half, sizeof half, "%s.half", to);
    FILE *in = fopen(to, "re");
    if (in) {
        FILE *out = fopen(half, "we");
        while (fgets(line, sizeof line, in)) {
            char *own = strchr(strchr(line, ' ') + 1, ' ') + 1;
            size_t length = strlen(own) - 1;
            if (length != strlen(name) || strncmp(own, name, length)) fputs(line, out);
        }
        fclose(in);
        fclose(out);
        REAL(rename)(half, to);
    }
    unlock_shadow(lock);
}

int fsync(int fd) {
    int done = REAL(fsync)(fd);
    if (!done) synced(fd);
    return done;
}

int fdatasync(int fd) {
    int done = REAL(fdatasync)(fd);
    if (!done) synced(fd);
    return done;
}

int unlink(const char *path) {
    forget(path, 1);
    return REAL(unlink)(path);
}

int rename(const char *from, const char *to) {
    forget(from, 0);
    return REAL(rename)(from, to);
}

int flock(int fd, int operation) {
    if (getenv("HARM_NO_FLOCK")) {
        errno = ENOLCK;
        return -1;
    }
    return syscall(SYS_flock, fd, operation);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int done = syscall(SYS_clock_gettime, clock, now);
    const char *path = getenv("HARM_CLOCK");
    if (!done && path && clock == CLOCK_REALTIME) {
        char text[32] = {0};
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            if (read(fd, text, sizeof text - 1) > 0) now->tv_sec += atoll(text);
            close(fd);
        }
    }
    return done;
}
