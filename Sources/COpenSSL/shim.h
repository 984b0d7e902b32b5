// Function-like macros and constants that Swift does not import, one line each.
#pragma once
// The system's declarations stay Glibc's: see CLibevent/shim.h.
#pragma clang module import SwiftGlibc

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/proverr.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

// Macros over SSL_CTX_ctrl and SSL_ctrl.
static inline int shim_SSL_CTX_set_min_proto_version(SSL_CTX *c, int version) { return SSL_CTX_set_min_proto_version(c, version); }
static inline int shim_SSL_CTX_set_max_proto_version(SSL_CTX *c, int version) { return SSL_CTX_set_max_proto_version(c, version); }
static inline void shim_SSL_CTX_set_mode(SSL_CTX *c, long mode) { SSL_CTX_set_mode(c, mode); }
static inline void shim_SSL_CTX_set_session_cache_mode(SSL_CTX *c, long mode) { SSL_CTX_set_session_cache_mode(c, mode); }
static inline int shim_SSL_CTX_set1_groups_list(SSL_CTX *c, const char *list) { return SSL_CTX_set1_groups_list(c, list); }
static inline int shim_SSL_CTX_set1_sigalgs_list(SSL_CTX *c, const char *list) { return SSL_CTX_set1_sigalgs_list(c, list); }
static inline void shim_SSL_CTX_set_dh_auto(SSL_CTX *c) { SSL_CTX_set_dh_auto(c, 1); }
static inline int shim_SSL_CTX_add1_chain_cert(SSL_CTX *c, X509 *x) { return SSL_CTX_add1_chain_cert(c, x); }
static inline int shim_SSL_CTX_clear_chain_certs(SSL_CTX *c) { return (int)SSL_CTX_clear_chain_certs(c); }
static inline void shim_SSL_CTX_set1_verify_cert_store(SSL_CTX *c, X509_STORE *s) { SSL_CTX_set1_verify_cert_store(c, s); }
static inline int shim_SSL_get_tmp_key(SSL *s, EVP_PKEY **key) { return (int)SSL_get_tmp_key(s, key); }
static inline int shim_SSL_get_peer_tmp_key(SSL *s, EVP_PKEY **key) { return (int)SSL_get_peer_tmp_key(s, key); }
static inline int shim_SSL_set_tlsext_host_name(SSL *s, const char *name) { return SSL_set_tlsext_host_name(s, name); }

static inline void shim_SSL_CTX_set_tlsext_status_cb(SSL_CTX *c, int (*callback)(SSL *, void *)) { SSL_CTX_set_tlsext_status_cb(c, callback); }
static inline void shim_SSL_set_tlsext_status_ocsp_resp(SSL *s, unsigned char *response, long count) { SSL_set_tlsext_status_ocsp_resp(s, response, count); }

static const unsigned long shim_XN_FLAG_RFC2253 = XN_FLAG_RFC2253;

static inline void shim_SSL_set_msg_callback_arg(SSL *s, void *argument) { SSL_set_msg_callback_arg(s, argument); }

// STACK_OF is made of macros. Whether a cipher of TLS 1.2 or before authenticates with this kind of key (NID_auth_rsa and kin).
static inline int shim_SSL_CTX_has_cipher_for(const SSL_CTX *c, int auth) {
    STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(c);
    for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++)
        if (SSL_CIPHER_get_auth_nid(sk_SSL_CIPHER_value(ciphers, i)) == auth) return 1;
    return 0;
}

static const int shim_ERR_R_UNSUPPORTED = ERR_R_UNSUPPORTED;

// Constants made by the macro SSL_OP_BIT.
static const uint64_t shim_SSL_OP_NO_RENEGOTIATION = SSL_OP_NO_RENEGOTIATION;
static const uint64_t shim_SSL_OP_NO_COMPRESSION = SSL_OP_NO_COMPRESSION;
static const uint64_t shim_SSL_OP_CLEANSE_PLAINTEXT = SSL_OP_CLEANSE_PLAINTEXT;
static const uint64_t shim_SSL_OP_NO_TICKET = SSL_OP_NO_TICKET;
static const uint64_t shim_SSL_OP_CIPHER_SERVER_PREFERENCE = SSL_OP_CIPHER_SERVER_PREFERENCE;
static const uint64_t shim_SSL_OP_PRIORITIZE_CHACHA = SSL_OP_PRIORITIZE_CHACHA;
static const uint64_t shim_SSL_OP_IGNORE_UNEXPECTED_EOF = SSL_OP_IGNORE_UNEXPECTED_EOF;
static const uint64_t shim_SSL_OP_ENABLE_KTLS = SSL_OP_ENABLE_KTLS;

// With this libssl asks a BIO to hand new keys to the kernel; bio.h names it in a comment only.
static const int shim_BIO_CTRL_SET_KTLS = 72;

// Names that an OSSL_PARAM keeps: a Swift string would be gone by the time it is read.
static const char *const shim_OSSL_MAC_PARAM_KEY = OSSL_MAC_PARAM_KEY;
static const char *const shim_OSSL_MAC_PARAM_DIGEST = OSSL_MAC_PARAM_DIGEST;
static const char *const shim_OSSL_KDF_PARAM_KEY = OSSL_KDF_PARAM_KEY;
static const char *const shim_OSSL_KDF_PARAM_INFO = OSSL_KDF_PARAM_INFO;
static const char *const shim_OSSL_KDF_PARAM_DIGEST = OSSL_KDF_PARAM_DIGEST;

// Macros over BIO_set_flags, BIO_clear_flags and BIO_ctrl.
static inline void shim_BIO_set_retry_read(BIO *b) { BIO_set_retry_read(b); }
static inline void shim_BIO_set_retry_write(BIO *b) { BIO_set_retry_write(b); }
static inline void shim_BIO_clear_retry_flags(BIO *b) { BIO_clear_retry_flags(b); }
static inline long shim_BIO_get_mem_data(BIO *b, char **data) { return BIO_get_mem_data(b, data); }
