// How long a TLS server needs from its start to its first client.
//
//   start PORT PROGRAM ARGUMENT...
//
// The program is started, and its port on 127.0.0.1 tried every 50 µs; the connection that it takes says ClientHello. Printed is
// one JSON object in a line: milliseconds from just before the start to that connection ("open", which the kernel makes once the
// program listens) and to the first byte of its answer ("served": it has accepted, and has its keys), and the program's pid.
// The program stays until whoever started this ends the group of both.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { patience = 10000 };  // milliseconds

static void fail(const char *what) {
    fprintf(stderr, "start: %s\n", what);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

/// - Returns: a ClientHello and its length: made before the clock runs.
static char *hello(long *length) {
    char *bytes;
    SSL *ssl = SSL_new(SSL_CTX_new(TLS_client_method()));
    if (!ssl) fail("no TLS");
    BIO *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
    SSL_connect(ssl);
    *length = BIO_get_mem_data(out, &bytes);
    return bytes;
}

static int dial(int port, pid_t program, double since) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (;;) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0) fail("no socket");
        if (!connect(fd, (struct sockaddr *)&address, sizeof address)) return fd;
        close(fd);
        if (now() - since > patience) fail("nothing listens");
        if (waitpid(program, NULL, WNOHANG)) fail("the program has ended");
        nanosleep(&(struct timespec){0, 50000}, NULL);
    }
}

int main(int argc, char **argv) {
    extern char **environ;
    long length;
    pid_t program;
    char byte;
    if (argc < 3) fail("start PORT PROGRAM ARGUMENT...");
    char *first = hello(&length);
    // What the program says goes to standard error.
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    double since = now();
    if (posix_spawn(&program, argv[2], &actions, NULL, argv + 2, environ)) fail("the program cannot be started");
    int fd = dial(atoi(argv[1]), program, since);
    double open = now() - since;
    if (write(fd, first, (size_t)length) != length) fail("nothing can be sent");
    struct pollfd answer = {.fd = fd, .events = POLLIN};
    if (poll(&answer, 1, patience) != 1 || read(fd, &byte, 1) != 1) fail("no answer to the ClientHello");
    double served = now() - since;
    printf("{\"open\": %.3f, \"served\": %.3f, \"pid\": %d}\n", open, served, (int)program);
    fflush(stdout);
    close(fd);
    for (;;) pause();
}
