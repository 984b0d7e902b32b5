#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/tls.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

int ftpsgate_tcp_socket(int domain) { return socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

int ftpsgate_accept4(int listener, struct sockaddr *address, unsigned int *length) {
    return accept4(listener, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int ftpsgate_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

void ftpsgate_trim_memory(void) { malloc_trim(0); }

void ftpsgate_release_pages(void *block, size_t size) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)block + page - 1) / page * page, end = ((uintptr_t)block + size) / page * page;
    if (first < end) madvise((void *)first, end - first, MADV_DONTNEED);
}

void ftpsgate_no_new_privileges(void) { prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

enum { apart_size = 16, apart_room = 16 << 20 };  // a million blocks; address space, until they are used

static pthread_mutex_t apart_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(char *) apart_pages;
static size_t apart_used;
static void *apart_free_list;

static int is_apart(const void *block) {
    char *pages = apart_pages;
    return pages && (uintptr_t)block - (uintptr_t)pages < apart_room;
}

void *ftpsgate_apart_malloc(size_t size) {
    void *block = NULL;
    if (size > apart_size) return malloc(size);
    pthread_mutex_lock(&apart_lock);
    if (!apart_pages) {
        void *pages = mmap(NULL, apart_room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (pages != MAP_FAILED) apart_pages = pages;
    }
    if (apart_free_list) {
        block = apart_free_list;
        apart_free_list = *(void **)block;
    } else if (apart_pages && apart_used < apart_room) {
        block = apart_pages + apart_used;
        apart_used += apart_size;
    }
    pthread_mutex_unlock(&apart_lock);
    return block ? block : malloc(size);
}

void ftpsgate_apart_free(void *block) {
    if (!is_apart(block)) {
        free(block);
        return;
    }
    pthread_mutex_lock(&apart_lock);
    *(void **)block = apart_free_list;
    apart_free_list = block;
    pthread_mutex_unlock(&apart_lock);
}

void *ftpsgate_apart_realloc(void *block, size_t size) {
    if (!block) return ftpsgate_apart_malloc(size);
    if (!is_apart(block)) return realloc(block, size);
    if (size <= apart_size) return block;
    void *larger = malloc(size);
    if (larger) {
        memcpy(larger, block, apart_size);
        ftpsgate_apart_free(block);
    }
    return larger;
}

// What cannot be written to is as it is in the file; relocated constants lie in writable segments.
static int release_code_of(struct dl_phdr_info *object, size_t size, void *unused) {
    unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);
    (void)size, (void)unused;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W)) continue;
        unsigned long start = (object->dlpi_addr + segment->p_vaddr + page - 1) & ~(page - 1);
        unsigned long end = (object->dlpi_addr + segment->p_vaddr + segment->p_memsz) & ~(page - 1);
        if (end > start) madvise((void *)start, end - start, MADV_DONTNEED);
    }
    return 0;
}

void ftpsgate_release_code(void) { dl_iterate_phdr(release_code_of, NULL); }

void ftpsgate_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

int ftpsgate_inotify(void) { return inotify_init1(IN_NONBLOCK | IN_CLOEXEC); }

int ftpsgate_inotify_watch(int inotify, const char *folder) {
    return inotify_add_watch(inotify, folder, IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
}

int ftpsgate_pipe(int ends[2]) {
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return -1;
    // What the kernel grants a process without privileges; the usual 64 KiB do as well, with more calls.
    fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
    return 0;
}

long ftpsgate_splice(int from, int to, unsigned long count) {
    return splice(from, NULL, to, NULL, count, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

// Not in every C library's headers.
#ifndef SOL_TLS
#define SOL_TLS 282
#endif
#ifndef TCP_ULP
#define TCP_ULP 31
#endif

static int attach_tls(int socket) { return setsockopt(socket, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls"); }

int ftpsgate_find_kernel_tls(void) {
    int found, descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return errno;
    // It is looked for before the socket is found not to be connected.
    found = attach_tls(descriptor) == 0 || errno == ENOTCONN ? 0 : errno;
    close(descriptor);
    return found;
}

int ftpsgate_encrypt_in_kernel(int socket, const void *keys, unsigned int size) {
    return attach_tls(socket) == 0 ? setsockopt(socket, SOL_TLS, TLS_TX, keys, size) : -1;
}

long ftpsgate_send_record(int socket, unsigned char type, const void *bytes, unsigned long count) {
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof type)];
    } control;
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = count};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    memset(&control, 0, sizeof control);
    control.header.cmsg_level = SOL_TLS;
    control.header.cmsg_type = TLS_SET_RECORD_TYPE;
    control.header.cmsg_len = CMSG_LEN(sizeof type);
    *CMSG_DATA(&control.header) = type;
    return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int ftpsgate_has_room(int socket) {
    struct pollfd one = {.fd = socket, .events = POLLOUT};
    return poll(&one, 1, 0) == 1 && (one.revents & (POLLOUT | POLLERR | POLLHUP));
}

int ftpsgate_processors(void) {
    cpu_set_t mask;
    return sched_getaffinity(0, sizeof mask, &mask) == 0 ? CPU_COUNT(&mask) : 0;
}
