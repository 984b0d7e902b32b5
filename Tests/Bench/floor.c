// What TLS alone costs a server for one small file: the CPU of its own calls into OpenSSL, with memory in place of sockets. No
// gateway and no server on this OpenSSL can be cheaper, whatever else it saves.
//
//   floor CERTIFICATE KEY 1.2|1.3 RESUME(0|1) COUNT     prints {"us": MICROSECONDS, "resumed": SHARE}
//
// A file is: the ticket that a resuming TLS 1.3 client needs (sent over a control connection), a data connection's SSL made, its
// handshake, 4 KiB in one record, close_notify, and the SSL freed.
#define _GNU_SOURCE
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct pair {
    SSL *client, *server;
};

static SSL_CTX *client_context, *server_context;
static SSL_SESSION *session;
static char content[4096], rubbish[1 << 16];
/// Microseconds of the server's.
static double spent, since;

static void fail(const char *what) {
    fprintf(stderr, "floor: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static void begin(void) { since = now(); }
static void end(void) { spent += now() - since; }

/// The client keeps the newest session; TLS 1.2 keeps the one that it resumes.
static int keep(SSL *ssl, SSL_SESSION *fresh) {
    if (SSL_session_reused(ssl) && SSL_version(ssl) == TLS1_2_VERSION) return 0;
    SSL_SESSION_free(session);
    session = fresh;
    return 1;
}

static struct pair connected(int tickets, int resume) {
    struct pair p = {.client = SSL_new(client_context)};
    BIO *near, *far;
    if (resume && session) SSL_set_session(p.client, session);
    if (!BIO_new_bio_pair(&near, 1 << 17, &far, 1 << 17)) fail("no memory");
    begin();
    p.server = SSL_new(server_context);
    SSL_set_num_tickets(p.server, (size_t)tickets);
    SSL_set_bio(p.server, far, far);
    SSL_set_accept_state(p.server);
    end();
    SSL_set_bio(p.client, near, near);
    SSL_set_connect_state(p.client);
    for (int turn = 0; turn < 8; turn++) {
        int isClientDone = SSL_do_handshake(p.client) == 1;
        begin();
        int isServerDone = SSL_do_handshake(p.server) == 1;
        end();
        if (isClientDone && isServerDone) return p;
    }
    fail("the handshake does not end");
    return p;
}

int main(int count, char **arguments) {
    if (count != 6) fail("CERTIFICATE KEY 1.2|1.3 RESUME COUNT");
    int isTLS12 = !strcmp(arguments[3], "1.2"), resume = atoi(arguments[4]), files = atoi(arguments[5]), resumed = 0;
    server_context = SSL_CTX_new(TLS_server_method());
    client_context = SSL_CTX_new(TLS_client_method());
    if (SSL_CTX_use_certificate_chain_file(server_context, arguments[1]) != 1) fail("no certificate");
    if (SSL_CTX_use_PrivateKey_file(server_context, arguments[2], SSL_FILETYPE_PEM) != 1) fail("no key");
    SSL_CTX_set_mode(server_context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(server_context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(server_context, (const unsigned char *)"floor", 5);
    SSL_CTX_set_session_cache_mode(client_context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client_context, keep);
    SSL_CTX_set_max_proto_version(client_context, isTLS12 ? TLS1_2_VERSION : TLS1_3_VERSION);

    struct pair control = connected(1, 0);
    SSL_read(control.client, rubbish, sizeof rubbish);
    spent = 0;
    for (int file = 0; file < files; file++) {
        if (resume && !isTLS12) {
            begin();
            SSL_new_session_ticket(control.server);
            if (SSL_write(control.server, content, 52) <= 0) fail("no ticket");
            end();
            if (SSL_read(control.client, rubbish, sizeof rubbish) <= 0) fail("no reply");
        }
        struct pair data = connected(0, resume);
        resumed += SSL_session_reused(data.server);
        begin();
        if (SSL_write(data.server, content, sizeof content) <= 0) fail("no record");
        SSL_shutdown(data.server);
        end();
        if (SSL_read(data.client, rubbish, sizeof rubbish) != sizeof content) fail("the file has not come");
        // The client says goodbye, too: OpenSSL does not resume a session that ended otherwise.
        SSL_shutdown(data.client);
        SSL_free(data.client);
        begin();
        SSL_free(data.server);
        end();
    }
    printf("{\"us\": %.2f, \"resumed\": %.3f}\n", spent / files, (double)resumed / files);
    return 0;
}
