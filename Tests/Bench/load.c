// A load generator for FTPS servers and for raw TLS relays: a thread for each connection, OpenSSL on blocking sockets.
//
//   load MODE port=N [kind=ftps|raw] [version=1.2|1.3] [cipher=NAME] [connections=N] [resume=0|1] ...
//
//   bulk     direction=down|up bytes=N (of all connections together)
//   files    size=N seconds=S [count=N, at most]: PASV, RETR (or STOR), data handshake, 226; again and again
//   logins   seconds=S: connect, TLS, login, QUIT; again and again
//   handshakes   seconds=S: connect, TLS, close; again and again
//   idle     [files=N size=N] opens so many sessions, transfers so many files in each, and leaves them alone
//   bulk ... rate=N uploads no more than so many bytes a second on each connection
//   slow     as many downloads, of which nobody reads more than the first bytes
//   noop     seconds=S [count=N, at most] interval-us=N: one NOOP after the other
//
// The set-up comes first; then the line "ready" is printed and a line on standard input starts the measured part. The result
// is one JSON object in a line. Sessions stay open until standard input ends: what serves them may be a process that is
// counted while it lives.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct connection {
    int fd;
    SSL *ssl;
    char buffer[4096];
    size_t start, end;
};

struct job {
    struct connection control, data;
    pthread_t thread;
    long long bytes, count, resumed;
    /// Durations of single operations, in microseconds.
    unsigned *durations;
    size_t durations_size;
};

// What was asked for.
static const char *mode, *kind = "ftps", *direction = "down", *user = "anonymous", *password = "bench@", *name = "f/";
static int port, resume = 1, connections = 1, is_tls12, interval_us, rate;
static long long bytes = 1 << 30, size = 4096, at_most = 1LL << 62;
static int files_before = 0;
static double seconds = 5;
static SSL_CTX *context;
static double deadline;
static pthread_barrier_t set_up, measured;
static char chunk[256 * 1024];

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "load: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    ERR_print_errors_fp(stderr);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

// MARK: - Connections

static int dial(int to) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((unsigned short)to)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct timeval limit = {.tv_sec = 60};
    if (fd < 0) fail("socket: %s", strerror(errno));
    // A reader that reads nothing is to fill its kernel's buffers soon.
    if (!strcmp(mode, "slow")) {
        int small = 16 * 1024;
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) fail("connect to port %d: %s", to, strerror(errno));
    if (rate) setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof rate);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

static void secure(struct connection *c, SSL_SESSION *session) {
    c->ssl = SSL_new(context);
    SSL_set_fd(c->ssl, c->fd);
    if (session) SSL_set_session(c->ssl, session);
    if (SSL_connect(c->ssl) != 1) fail("handshake on port %d (errno %s)", port, strerror(errno));
}

static int get(struct connection *c, void *buffer, int count) {
    return c->ssl ? SSL_read(c->ssl, buffer, count) : (int)recv(c->fd, buffer, (size_t)count, 0);
}

static int put(struct connection *c, const void *buffer, int count) {
    return c->ssl ? SSL_write(c->ssl, buffer, count) : (int)send(c->fd, buffer, (size_t)count, MSG_NOSIGNAL);
}

static void hang_up(struct connection *c) {
    if (c->ssl) {
        SSL_shutdown(c->ssl);
        SSL_free(c->ssl);
    }
    close(c->fd);
    *c = (struct connection){.fd = -1};
}

// MARK: - FTP

static void line(struct connection *c, char *text, size_t room) {
    size_t length = 0;
    for (;;) {
        while (c->start < c->end) {
            char byte = c->buffer[c->start++];
            if (byte == '\n') {
                text[length] = 0;
                return;
            }
            if (length + 1 < room) text[length++] = byte;
        }
        int count = get(c, c->buffer, sizeof c->buffer);
        if (count <= 0) fail("the server hung up where a reply was due (errno %s)", strerror(errno));
        c->start = 0;
        c->end = (size_t)count;
    }
}

/// The next reply's code; `text` is its last line.
static int reply(struct connection *c, char *text, size_t room) {
    do line(c, text, room);
    while (strlen(text) < 4 || text[3] == '-' || text[0] < '1' || text[0] > '5' || text[0] == ' ');
    return atoi(text);
}

static void say(struct connection *c, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    if (put(c, text, length) != length) fail("cannot send %s", text);
}

static void expect(struct connection *c, int first_digit) {
    char text[512];
    if (reply(c, text, sizeof text) / 100 != first_digit) fail("unexpected reply: %s", text);
}

static void ask(struct connection *c, int first_digit, const char *command, const char *argument) {
    say(c, argument ? "%s %s\r\n" : "%s\r\n", command, argument);
    expect(c, first_digit);
}

static void greet(struct connection *c) {
    *c = (struct connection){.fd = dial(port)};
    expect(c, 2);
    ask(c, 2, "AUTH", "TLS");
    secure(c, NULL);
}

static void login(struct connection *c) {
    greet(c);
    ask(c, 3, "USER", user);
    ask(c, 2, "PASS", password);
    ask(c, 2, "PBSZ", "0");
    ask(c, 2, "PROT", "P");
    ask(c, 2, "TYPE", "I");
}

/// Opens the data connection and begins the transfer; its TLS is up when this returns.
static void begin(struct job *j, const char *verb, const char *path) {
    char text[512];
    unsigned a, b, c, d, high, low;
    SSL_SESSION *session = NULL;
    say(&j->control, "PASV\r\n");
    if (reply(&j->control, text, sizeof text) != 227) fail("PASV: %s", text);
    const char *numbers = strchr(text, '(');
    if (!numbers || sscanf(numbers + 1, "%u,%u,%u,%u,%u,%u", &a, &b, &c, &d, &high, &low) != 6) fail("PASV: %s", text);
    j->data = (struct connection){.fd = dial((int)(high << 8 | low))};
    say(&j->control, "%s %s\r\n", verb, path);
    expect(&j->control, 1);
    if (resume) session = SSL_get1_session(j->control.ssl);
    secure(&j->data, session);
    j->resumed += SSL_session_reused(j->data.ssl);
    SSL_SESSION_free(session);
}

static void path_of(char *path, size_t room, long long length) { snprintf(path, room, "%s%lld", name, length); }

/// Everything the other side sends, up to its end; close_notify is demanded.
static long long receive(struct connection *c) {
    static __thread char buffer[64 * 1024];
    long long total = 0;
    int count;
    while ((count = get(c, buffer, sizeof buffer)) > 0) total += count;
    if (c->ssl && SSL_get_error(c->ssl, count) != SSL_ERROR_ZERO_RETURN) fail("a download was cut after %lld bytes", total);
    return total;
}

static void transmit(struct connection *c, long long count) {
    while (count > 0) {
        int sent = put(c, chunk, count < (long long)sizeof chunk ? (int)count : (int)sizeof chunk);
        if (sent <= 0) fail("an upload was cut with %lld bytes to go (errno %s)", count, strerror(errno));
        count -= sent;
    }
}

/// close_notify and FIN, then what still comes: closing at once could reset what is on its way.
static void finish(struct connection *c) {
    char rest[1024];
    if (c->ssl) SSL_shutdown(c->ssl);
    shutdown(c->fd, SHUT_WR);
    while (recv(c->fd, rest, sizeof rest, 0) > 0) {}
    SSL_free(c->ssl);
    close(c->fd);
    *c = (struct connection){.fd = -1};
}

static long long transfer(struct job *j, long long length) {
    char path[256];
    long long moved = length;
    if (direction[0] == 'd') {
        path_of(path, sizeof path, length);
        begin(j, "RETR", path);
        moved = receive(&j->data);
        hang_up(&j->data);
        if (moved != length) fail("a download of %lld bytes brought %lld", length, moved);
    } else {
        snprintf(path, sizeof path, "%sup-%d", name, j->control.fd);
        begin(j, "STOR", path);
        transmit(&j->data, length);
        finish(&j->data);
    }
    expect(&j->control, 2);
    return moved;
}

// MARK: - Modes

static void note(struct job *j, double since) {
    if ((size_t)j->count == j->durations_size) {
        j->durations_size = j->durations_size ? j->durations_size * 2 : 4096;
        j->durations = realloc(j->durations, j->durations_size * sizeof *j->durations);
    }
    j->durations[j->count++] = (unsigned)((now() - since) * 1e6);
}

static void rendezvous(void) {
    pthread_barrier_wait(&set_up);
    pthread_barrier_wait(&measured);
}

static void bulk(struct job *j) {
    long long share = bytes / connections;
    if (!strcmp(kind, "raw")) {
        j->data = (struct connection){.fd = dial(port)};
        secure(&j->data, NULL);
        rendezvous();
        if (direction[0] == 'd') {
            say(&j->data, "D %lld\n", share);
            // Relays end as they like.
            while (j->bytes < share) {
                static __thread char buffer[64 * 1024];
                int count = get(&j->data, buffer, sizeof buffer);
                if (count <= 0) fail("a relayed download was cut after %lld bytes", j->bytes);
                j->bytes += count;
            }
        } else {
            say(&j->data, "U\n");
            transmit(&j->data, share);
            j->bytes = share;
        }
        finish(&j->data);
    } else {
        login(&j->control);
        rendezvous();
        j->bytes = transfer(j, share);
    }
}

static void files(struct job *j) {
    login(&j->control);
    rendezvous();
    while (now() < deadline && j->count < at_most) {
        double since = now();
        j->bytes += transfer(j, size);
        note(j, since);
    }
}

static void logins(struct job *j) {
    rendezvous();
    while (now() < deadline) {
        double since = now();
        if (!strcmp(kind, "raw")) {
            j->data = (struct connection){.fd = dial(port)};
            secure(&j->data, NULL);
            hang_up(&j->data);
        } else if (!strcmp(mode, "handshakes")) {
            greet(&j->control);
            hang_up(&j->control);
        } else {
            login(&j->control);
            ask(&j->control, 2, "QUIT", NULL);
            hang_up(&j->control);
        }
        note(j, since);
    }
}

static void noop(struct job *j) {
    login(&j->control);
    rendezvous();
    while (now() < deadline && j->count < at_most) {
        double since = now();
        ask(&j->control, 2, "NOOP", NULL);
        note(j, since);
        if (interval_us) usleep((useconds_t)interval_us);
    }
}

static void *run(void *argument) {
    struct job *j = argument;
    if (!strcmp(mode, "bulk")) bulk(j);
    else if (!strcmp(mode, "files")) files(j);
    else if (!strcmp(mode, "logins") || !strcmp(mode, "handshakes")) logins(j);
    else noop(j);
    return NULL;
}

/// Sessions that do nothing need no thread.
static void hold(struct job *jobs) {
    char byte, path[256];
    for (int i = 0; i < connections; i++) {
        struct job *j = &jobs[i];
        if (!strcmp(kind, "raw")) {
            j->control = (struct connection){.fd = dial(port)};
            secure(&j->control, NULL);
            say(&j->control, "I\n");
        } else {
            login(&j->control);
            if (strcmp(mode, "slow")) {
                for (int file = 0; file < files_before; file++) transfer(j, size);
                continue;
            }
            path_of(path, sizeof path, 1LL << 30);
            begin(j, "RETR", path);
            if (get(&j->data, path, 64) <= 0) fail("a download did not begin");
        }
    }
    printf("ready\n");
    fflush(stdout);
    while (read(0, &byte, 1) > 0) {}
}

static int by_value(const void *a, const void *b) {
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return (x > y) - (x < y);
}

static void report(struct job *jobs, double elapsed) {
    long long moved = 0, count = 0, resumed = 0, at = 0;
    for (int i = 0; i < connections; i++) {
        moved += jobs[i].bytes;
        count += jobs[i].count;
        resumed += jobs[i].resumed;
    }
    unsigned *all = calloc((size_t)count + 1, sizeof *all);
    for (int i = 0; i < connections; i++) {
        if (jobs[i].count) memcpy(all + at, jobs[i].durations, (size_t)jobs[i].count * sizeof *all);
        at += jobs[i].count;
    }
    qsort(all, (size_t)count, sizeof *all, by_value);
    printf("{\"bytes\": %lld, \"seconds\": %.6f, \"count\": %lld, \"resumed\": %lld", moved, elapsed, count, resumed);
    if (count) {
        printf(
            ", \"p50_us\": %u, \"p90_us\": %u, \"p99_us\": %u, \"max_us\": %u", all[count / 2], all[count * 9 / 10],
            all[count * 99 / 100], all[count - 1]);
    }
    printf("}\n");
    fflush(stdout);
}

static void read_arguments(int argc, char **argv) {
    const char *version = "1.3", *cipher = NULL;
    mode = argc > 1 ? argv[1] : "";
    for (int i = 2; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value) fail("'%s' is not of the form key=value", argv[i]);
        *value++ = 0;
        const char *key = argv[i];
        if (!strcmp(key, "port")) port = atoi(value);
        else if (!strcmp(key, "kind")) kind = value;
        else if (!strcmp(key, "direction")) direction = value;
        else if (!strcmp(key, "version")) version = value;
        else if (!strcmp(key, "cipher")) cipher = value;
        else if (!strcmp(key, "connections")) connections = atoi(value);
        else if (!strcmp(key, "resume")) resume = atoi(value);
        else if (!strcmp(key, "bytes")) bytes = atoll(value);
        else if (!strcmp(key, "files")) files_before = atoi(value);
        else if (!strcmp(key, "size")) size = atoll(value);
        else if (!strcmp(key, "seconds")) seconds = atof(value);
        else if (!strcmp(key, "count")) at_most = atoll(value);
        else if (!strcmp(key, "rate")) rate = atoi(value);
        else if (!strcmp(key, "interval-us")) interval_us = atoi(value);
        else if (!strcmp(key, "user")) user = value;
        else if (!strcmp(key, "password")) password = value;
        else if (!strcmp(key, "name")) name = value;
        else fail("unknown key '%s'", key);
    }
    is_tls12 = !strcmp(version, "1.2");
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, is_tls12 ? TLS1_2_VERSION : TLS1_3_VERSION);
    SSL_CTX_set_max_proto_version(context, is_tls12 ? TLS1_2_VERSION : TLS1_3_VERSION);
    if (cipher && (is_tls12 ? SSL_CTX_set_cipher_list(context, cipher) : SSL_CTX_set_ciphersuites(context, cipher)) != 1) {
        fail("unknown cipher '%s'", cipher);
    }
    SSL_CTX_set1_groups_list(context, "X25519:P-256");
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    // With the cache on OpenSSL would use each ticket of TLS 1.3 once only.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

int main(int argc, char **argv) {
    char go;
    signal(SIGPIPE, SIG_IGN);
    read_arguments(argc, argv);
    struct job *jobs = calloc((size_t)connections, sizeof *jobs);
    if (!strcmp(mode, "idle") || !strcmp(mode, "slow")) {
        hold(jobs);
        return 0;
    }
    static const char *const modes[] = {"bulk", "files", "logins", "handshakes", "noop"};
    size_t known = 0;
    while (known < sizeof modes / sizeof *modes && strcmp(mode, modes[known])) known++;
    if (known == sizeof modes / sizeof *modes) fail("'%s' is not bulk, files, logins, handshakes, idle, slow or noop", mode);
    pthread_barrier_init(&set_up, NULL, (unsigned)connections + 1);
    pthread_barrier_init(&measured, NULL, (unsigned)connections + 1);
    for (int i = 0; i < connections; i++) {
        if (pthread_create(&jobs[i].thread, NULL, run, &jobs[i])) fail("no thread");
    }
    pthread_barrier_wait(&set_up);
    printf("ready\n");
    fflush(stdout);
    if (read(0, &go, 1) != 1) return 1;
    double since = now();
    deadline = since + seconds;
    pthread_barrier_wait(&measured);
    for (int i = 0; i < connections; i++) pthread_join(jobs[i].thread, NULL);
    report(jobs, now() - since);
    while (read(0, &go, 1) > 0) {}
    return 0;
}
