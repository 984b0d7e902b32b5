// A plain FTP server that costs next to nothing: it makes up what is downloaded and throws away what is uploaded, so that a
// benchmark measures what stands before it. A thread for each connection; loopback only; no file is touched.
//
//   backend [RATE]   prints "ready ftp=PORT raw=PORT", serves until standard input ends; sends no more than RATE bytes a second on
//                    each connection
//
// ftp: any login; RETR and STOR of any name, whose last number is a download's size in bytes ("f/4096"); LIST is 1 KiB.
// raw: a relay's other side. First comes a line "D BYTES" (they are sent, then FIN), "U" (all is swallowed until FIN, then FIN)
// or "I" (nothing until FIN).
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 256 * 1024, LINE = 4096 };

static char pattern[CHUNK];
static int rate;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int listening(unsigned short *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) return -1;
    getsockname(fd, (struct sockaddr *)&address, &length);
    *port = ntohs(address.sin_port);
    return fd;
}

static int accepted(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), one = 1;
    if (fd >= 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (fd >= 0 && rate) setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof rate);
    return fd;
}

/// Sends so many bytes; false when the other side is gone.
static int produce(int fd, long long count) {
    while (count > 0) {
        ssize_t sent = send(fd, pattern, count < CHUNK ? (size_t)count : CHUNK, MSG_NOSIGNAL);
        if (sent <= 0) return 0;
        count -= sent;
    }
    return 1;
}

/// Throws away everything up to FIN, without a copy (tcp(7), MSG_TRUNC); false when the connection breaks.
static int swallow(int fd) {
    ssize_t count;
    while ((count = recv(fd, NULL, 1 << 20, MSG_TRUNC)) > 0) {}
    return count == 0;
}

static void start(void *(*body)(void *), int fd) {
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, body, (void *)(long)fd)) {
        fprintf(stderr, "backend: no thread for a connection\n");
        close(fd);
    }
    pthread_attr_destroy(&attributes);
}

// MARK: - The raw side

static void *raw_connection(void *argument) {
    int fd = (int)(long)argument;
    char line[64];
    size_t length = 0;
    while (length < sizeof line - 1 && recv(fd, line + length, 1, 0) == 1 && line[length] != '\n') length++;
    line[length] = 0;
    if (line[0] == 'D') produce(fd, atoll(line + 1));
    if (line[0] != 'D') swallow(fd);
    shutdown(fd, SHUT_WR);
    swallow(fd);
    close(fd);
    return NULL;
}

// MARK: - FTP

struct session {
    int control, listener;
    /// Where the client listens, for active mode.
    struct sockaddr_in active;
    unsigned short port;
};

static void say(struct session *s, const char *text) { send(s->control, text, strlen(text), MSG_NOSIGNAL); }

static void passive(struct session *s, int extended) {
    char text[80];
    if (s->listener < 0) s->listener = listening(&s->port);
    s->active.sin_port = 0;
    if (extended) snprintf(text, sizeof text, "229 Entering Extended Passive Mode (|||%d|)\r\n", s->port);
    else snprintf(text, sizeof text, "227 Entering Passive Mode (127,0,0,1,%d,%d).\r\n", s->port >> 8, s->port & 255);
    say(s, s->listener < 0 ? "425 No port.\r\n" : text);
}

static void active(struct session *s, const char *argument) {
    unsigned a, b, c, d, e, f;
    if (sscanf(argument, "%u,%u,%u,%u,%u,%u", &a, &b, &c, &d, &e, &f) != 6) return say(s, "501 What port?\r\n");
    s->active = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(a << 24 | b << 16 | c << 8 | d), .sin_port = htons((unsigned short)(e << 8 | f))};
    say(s, "200 Port noted.\r\n");
}

static int open_data(struct session *s) {
    if (!s->active.sin_port) return s->listener < 0 ? -1 : accepted(s->listener);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&s->active, sizeof s->active)) {
        close(fd);
        return -1;
    }
    return fd;
}

static void transfer(struct session *s, long long down) {
    int isWhole, fd = open_data(s);
    if (fd < 0) return say(s, "425 No data connection.\r\n");
    say(s, "150 Here it comes.\r\n");
    isWhole = down >= 0 ? produce(fd, down) : swallow(fd);
    close(fd);
    say(s, isWhole ? "226 Done.\r\n" : "426 Broken.\r\n");
}

static long long last_number(const char *name) {
    const char *end = name + strlen(name), *start;
    while (end > name && (end[-1] < '0' || end[-1] > '9')) end--;
    for (start = end; start > name && start[-1] >= '0' && start[-1] <= '9'; start--) {}
    return atoll(start);
}

static int is(const char *line, const char *verb) {
    size_t length = strlen(verb);
    return !strncasecmp(line, verb, length) && (line[length] == 0 || line[length] == ' ');
}

/// False after QUIT.
static int obey(struct session *s, const char *line) {
    const char *argument = strchr(line, ' ');
    argument = argument ? argument + 1 : "";
    if (is(line, "USER")) say(s, "331 Any password will do.\r\n");
    else if (is(line, "PASS")) say(s, "230 Welcome.\r\n");
    else if (is(line, "PASV")) passive(s, 0);
    else if (is(line, "EPSV")) passive(s, 1);
    else if (is(line, "PORT")) active(s, argument);
    else if (is(line, "RETR")) transfer(s, last_number(argument));
    else if (is(line, "STOR") || is(line, "APPE")) transfer(s, -1);
    else if (is(line, "LIST") || is(line, "NLST") || is(line, "MLSD")) transfer(s, 1024);
    else if (is(line, "PWD")) say(s, "257 \"/\"\r\n");
    else if (is(line, "SYST")) say(s, "215 UNIX Type: L8\r\n");
    else if (is(line, "FEAT")) say(s, "211-Features:\r\n EPSV\r\n SIZE\r\n211 End\r\n");
    else if (is(line, "QUIT")) say(s, "221 Bye.\r\n");
    else say(s, "200 OK.\r\n");
    return !is(line, "QUIT");
}

static void *ftp_connection(void *argument) {
    struct session s = {.control = (int)(long)argument, .listener = -1};
    char buffer[LINE];
    size_t filled = 0;
    ssize_t count;
    int goesOn = 1;
    say(&s, "220 Nothing is kept here.\r\n");
    while (goesOn && (count = recv(s.control, buffer + filled, sizeof buffer - 1 - filled, 0)) > 0) {
        char *line = buffer, *end;
        filled += (size_t)count;
        buffer[filled] = 0;
        while (goesOn && (end = strchr(line, '\n'))) {
            *end = 0;
            if (end > line && end[-1] == '\r') end[-1] = 0;
            goesOn = obey(&s, line);
            line = end + 1;
        }
        filled -= (size_t)(line - buffer);
        memmove(buffer, line, filled);
        if (filled == sizeof buffer - 1) break;
    }
    close(s.control);
    if (s.listener >= 0) close(s.listener);
    return NULL;
}

// MARK: - Serving

struct service {
    int listener;
    void *(*body)(void *);
};

static void *serve(void *argument) {
    struct service *service = argument;
    for (;;) {
        int fd = accepted(service->listener);
        if (fd >= 0) start(service->body, fd);
        else if (errno != ECONNABORTED && errno != EINTR) usleep(10000);
    }
    return NULL;
}

int main(int argc, char **argv) {
    unsigned short ftp, raw;
    if (argc > 1) rate = atoi(argv[1]);
    struct service services[] = {{listening(&ftp), ftp_connection}, {listening(&raw), raw_connection}};
    pthread_t thread;
    char byte;
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof pattern; i++) pattern[i] = (char)(i * 2654435761u >> 13);
    for (int i = 0; i < 2; i++) {
        if (services[i].listener < 0) die("listen");
        if (pthread_create(&thread, NULL, serve, &services[i])) die("thread");
    }
    printf("ready ftp=%d raw=%d\n", ftp, raw);
    fflush(stdout);
    while (read(0, &byte, 1) > 0) {}
    return 0;
}
