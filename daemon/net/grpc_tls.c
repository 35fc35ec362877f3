/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/net/grpc_tls.h"
#include "daemon/endpoint.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

struct grpc_tls {
    SSL *ssl;
    BIO *from_peer, *to_peer; /* of `ssl` */
    bool certificate;         /* the error is one of a certificate or key */
    char error[GRPC_TLS_TEXT_SIZE];
};

static void bio_freep(BIO **bio)
{
    BIO_free(*bio);
}

/* ---- errors ---- */

/* OpenSSL's reason alone: its file names and its data may hold what is nobody's business. */
static const char *reason_take(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());

    ERR_clear_error();
    return reason ? reason : "unknown error";
}

static int _printf_(3, 4) tls_fail(struct grpc_tls *tls, bool certificate, const char *format, ...)
{
    va_list args;

    if (*tls->error)
        return -EPROTO;
    tls->certificate = certificate;
    va_start(args, format);
    vsnprintf(tls->error, sizeof(tls->error), format, args);
    va_end(args);
    return -EPROTO;
}

/* Did the server refuse our certificate, or the lack of one? With TLS 1.3 it says so only after
 * the handshake. */
static bool is_certificate_alert(unsigned long error)
{
    static const int alerts[] = {
        SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,         SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED,
        SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED,     SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN,
        SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, SSL_R_TLSV1_ALERT_UNKNOWN_CA,
        SSL_R_TLSV1_ALERT_ACCESS_DENIED,           SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED,
    };

    for (size_t i = 0; i < ELEMENTS(alerts); i++)
        if (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == alerts[i])
            return true;
    return false;
}

/* After a call that failed for good. */
static int tls_fail_ssl(struct grpc_tls *tls)
{
    unsigned long error = ERR_peek_error();
    long verified = SSL_get_verify_result(tls->ssl);

    if (ERR_GET_LIB(error) == ERR_LIB_SSL &&
        ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK)
        tls_fail(tls, true, "the server's certificate is not accepted: %s",
                 X509_verify_cert_error_string(verified));
    else if (is_certificate_alert(error))
        tls_fail(tls, true, "the server refuses our certificate: %s", reason_take());
    else
        tls_fail(tls, false, "TLS: %s", reason_take());
    ERR_clear_error();
    return -EPROTO;
}

const char *grpc_tls_error(const struct grpc_tls *tls, bool *ret_certificate)
{
    *ret_certificate = tls->certificate;
    return tls->error;
}

/* ---- whom we believe ---- */

static int pem_add_authorities(SSL_CTX *context, const void *pem, size_t size)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(pem, (int)size);
    X509 *certificate;
    int count = 0;

    while (bio && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        count += X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate);
        X509_free(certificate);
    }
    ERR_clear_error(); /* "no more PEM" is how it ends */
    return count > 0 ? 0 : -EINVAL;
}

/*
 * The system's authorities. They take tens of milliseconds to read, which is too long for each
 * connection: they are kept until their file changes. The only state that calls share. NULL: out of
 * memory.
 */
static X509_STORE *system_authorities(void)
{
    static X509_STORE *store;
    static struct timespec changed;
    struct stat file = {0};

    (void)stat(X509_get_default_cert_file(), &file);
    if (store && file.st_mtim.tv_sec == changed.tv_sec && file.st_mtim.tv_nsec == changed.tv_nsec &&
        sk_X509_OBJECT_num(X509_STORE_get0_objects(store)) > 0)
        return store;
    X509_STORE_free(store);
    store = X509_STORE_new();
    if (store)
        X509_STORE_set_default_paths(store);
    ERR_clear_error(); /* files that are not there */
    changed = file.st_mtim;
    return store;
}

/* An authority of one's own replaces the system's, and need not be a root. */
static int load_authorities(struct grpc_tls *tls, SSL_CTX *context, const struct http_tls *config)
{
    X509_STORE *store;

    if (config->insecure)
        return 0;
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
    if (!config->ca_file && !config->ca_path && !config->ca_pem) {
        store = system_authorities();
        if (!store)
            return -ENOMEM;
        SSL_CTX_set1_cert_store(context, store);
        return 0;
    }
    if ((config->ca_file || config->ca_path) &&
        SSL_CTX_load_verify_locations(context, config->ca_file, config->ca_path) != 1)
        return tls_fail(tls, true, "%.150s: no certificate authorities: %s",
                        config->ca_file ? config->ca_file : config->ca_path, reason_take());
    if (config->ca_pem && pem_add_authorities(context, config->ca_pem, config->ca_pem_size) < 0)
        return tls_fail(tls, true, "no certificate authorities in the configured text");
    return 0;
}

/* ---- who we are ---- */

/* A key with a password would make OpenSSL ask at the terminal. */
static int no_password(char *buffer, int size, int writing, void *userdata)
{
    (void)buffer, (void)size, (void)writing, (void)userdata;
    return -1;
}

static bool pem_use_chain(SSL_CTX *context, const void *pem, size_t size)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(pem, (int)size);
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
    bool ok = certificate && SSL_CTX_use_certificate(context, certificate) == 1;

    X509_free(certificate);
    while (ok && (certificate = PEM_read_bio_X509(bio, NULL, no_password, NULL)))
        if (SSL_CTX_add0_chain_cert(context, certificate) != 1) {
            X509_free(certificate);
            ok = false;
        }
    if (ok)
        ERR_clear_error();
    return ok;
}

static bool pem_use_key(SSL_CTX *context, const void *pem, size_t size)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(pem, (int)size);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    bool ok = key && SSL_CTX_use_PrivateKey(context, key) == 1;

    EVP_PKEY_free(key);
    return ok;
}

static int load_certificate(struct grpc_tls *tls, SSL_CTX *context, const struct http_tls *config)
{
    if (config->cert_pem && !pem_use_chain(context, config->cert_pem, config->cert_pem_size))
        return tls_fail(tls, true, "the client certificate in the configured text: %s",
                        reason_take());
    if (!config->cert_pem && config->cert_file &&
        SSL_CTX_use_certificate_chain_file(context, config->cert_file) != 1)
        return tls_fail(tls, true, "%.150s: no client certificate: %s", config->cert_file,
                        reason_take());
    return 0;
}

/* Without a file of its own the key is beside the certificate. */
static int load_key(struct grpc_tls *tls, SSL_CTX *context, const struct http_tls *config)
{
    const char *file = config->key_file ? config->key_file : config->cert_file;

    if (config->key_pem && !pem_use_key(context, config->key_pem, config->key_pem_size))
        return tls_fail(tls, true, "the key in the configured text: %s", reason_take());
    if (!config->key_pem && file &&
        SSL_CTX_use_PrivateKey_file(context, file, SSL_FILETYPE_PEM) != 1)
        return tls_fail(tls, true, "%.150s: no key for the client certificate: %s", file,
                        reason_take());
    if ((config->cert_pem || config->cert_file) && SSL_CTX_check_private_key(context) != 1)
        return tls_fail(tls, true, "the key is not that of the client certificate: %s",
                        reason_take());
    return 0;
}

static int context_load(struct grpc_tls *tls, SSL_CTX *context, const struct http_tls *config)
{
    int r;

    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_default_passwd_cb(context, no_password);
    SSL_CTX_set_verify(context, config->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    r = load_authorities(tls, context, config);
    if (r == 0)
        r = load_certificate(tls, context, config);
    if (r == 0)
        r = load_key(tls, context, config);
    return r;
}

/* ---- the connection ---- */

/* SNI has names only (RFC 6066 3); an address is verified as one. */
static bool ssl_set_name(SSL *ssl, const char *name)
{
    struct address address;

    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (address_from_string(name, &address) == 0)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

static int tls_connect(struct grpc_tls *tls, SSL_CTX *context, const char *name)
{
    static const uint8_t alpn[] = {2, 'h', '2'};

    tls->ssl = SSL_new(context);
    if (!tls->ssl)
        return -ENOMEM;
    tls->from_peer = BIO_new(BIO_s_mem());
    tls->to_peer = BIO_new(BIO_s_mem());
    if (!tls->from_peer || !tls->to_peer) {
        BIO_free(tls->from_peer);
        BIO_free(tls->to_peer);
        return -ENOMEM;
    }
    SSL_set_bio(tls->ssl, tls->from_peer, tls->to_peer);
    SSL_set_connect_state(tls->ssl);
    if (!ssl_set_name(tls->ssl, name) || SSL_set_alpn_protos(tls->ssl, alpn, sizeof(alpn)) != 0)
        return -ENOMEM;
    return 0;
}

int grpc_tls_new(const struct http_tls *config, const char *host, struct grpc_tls **ret_tls)
{
    static const struct http_tls defaults;
    struct grpc_tls *tls = calloc(1, sizeof(*tls));
    SSL_CTX *context;
    int r = -ENOMEM;

    if (!tls)
        return -ENOMEM;
    config = config ? config : &defaults;
    ERR_clear_error();
    context = SSL_CTX_new(TLS_client_method());
    if (context)
        r = context_load(tls, context, config);
    if (r == 0)
        r = tls_connect(tls, context, config->server_name ? config->server_name : host);
    SSL_CTX_free(context);
    ERR_clear_error();
    if (r == -ENOMEM) {
        grpc_tls_free(tls);
        return r;
    }
    *ret_tls = tls;
    return 0;
}

struct grpc_tls *grpc_tls_free(struct grpc_tls *tls)
{
    if (!tls)
        return NULL;
    SSL_free(tls->ssl);
    free(tls);
    return NULL;
}

/* ---- bytes ---- */

static int check_alpn(struct grpc_tls *tls)
{
    const uint8_t *protocol;
    unsigned size;

    SSL_get0_alpn_selected(tls->ssl, &protocol, &size);
    if (size == 2 && memcmp(protocol, "h2", 2) == 0)
        return 1;
    return tls_fail(tls, false, "the server does not offer HTTP/2 (ALPN \"h2\")");
}

int grpc_tls_handshake(struct grpc_tls *tls)
{
    int n, error;

    if (*tls->error)
        return -EPROTO;
    ERR_clear_error();
    n = SSL_do_handshake(tls->ssl);
    if (n == 1)
        return check_alpn(tls);
    error = SSL_get_error(tls->ssl, n);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : tls_fail_ssl(tls);
}

int grpc_tls_receive(struct grpc_tls *tls, const uint8_t *data, size_t size)
{
    return BIO_write(tls->from_peer, data, (int)size) == (int)size ? 0 : -ENOMEM;
}

ssize_t grpc_tls_read(struct grpc_tls *tls, uint8_t *buffer, size_t size)
{
    int n;

    ERR_clear_error();
    n = SSL_read(tls->ssl, buffer, (int)size);
    if (n > 0)
        return n;
    switch (SSL_get_error(tls->ssl, n)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        return -EPIPE;
    default:
        return tls_fail_ssl(tls);
    }
}

int grpc_tls_write(struct grpc_tls *tls, const uint8_t *data, size_t size)
{
    ERR_clear_error();
    if (size == 0 || SSL_write(tls->ssl, data, (int)size) == (int)size)
        return 0;
    return tls_fail_ssl(tls);
}

int grpc_tls_drain(struct grpc_tls *tls, struct byte_queue *queue)
{
    char *data;
    long size = tls->ssl ? BIO_get_mem_data(tls->to_peer, &data) : 0;

    if (size <= 0)
        return 0;
    if (byte_queue_append(queue, data, (size_t)size) < 0)
        return -ENOMEM;
    BIO_reset(tls->to_peer);
    return 0;
}
