/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Authorities, certificates and keys for a server of grpc_peer.h, made by openssl: "ca" signed
 * "server" (registry.test and 127.0.0.1), "expired" (yesterday) and "client"; "stranger" signed
 * nothing here.
 */
#pragma once

#include <check.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#include "tests/unit/grpc_peer.h"

static char tls_directory[32];

static inline const char *tls_file(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof(paths[0]), "%s/%s", tls_directory, name);
    return path;
}

static inline void tls_shell(const char *script)
{
    char command[2048];

    snprintf(command, sizeof(command), "cd %s && { %s\n} >/dev/null 2>&1", tls_directory, script);
    ck_assert_int_eq(system(command), 0);
}

static inline void tls_make(void)
{
    strcpy(tls_directory, "/tmp/test_grpc.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(tls_directory));
    tls_shell("key=\"-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes\"\n"
              "for name in ca stranger; do\n"
              "  openssl req -x509 $key -keyout $name.key -out $name.pem -subj /CN=$name -days 2 "
              "|| exit 1\n"
              "done\n"
              "echo subjectAltName=DNS:registry.test,IP:127.0.0.1 >san\n"
              "mkdir index; : >index/list; echo 01 >index/serial\n"
              "cat >conf <<E\n[ca]\ndefault_ca=d\n[d]\ndatabase=index/list\nserial=index/serial\n"
              "new_certs_dir=index\ndefault_md=sha256\npolicy=p\nunique_subject=no\n"
              "[p]\ncommonName=supplied\nE\n"
              "make() {\n"
              "  openssl req $key -keyout $1.key -out $1.csr -subj /CN=$1 &&\n"
              "  openssl ca -batch -config conf -cert ca.pem -keyfile ca.key -in $1.csr "
              "-out $1.pem -notext -extfile san -startdate $2 -enddate $3\n"
              "}\n"
              "make server 20200101000000Z 20491231000000Z &&\n"
              "make client 20200101000000Z 20491231000000Z &&\n"
              "make expired 20200101000000Z 20200102000000Z");
}

static inline void tls_unmake(void)
{
    char command[64];

    snprintf(command, sizeof(command), "rm -r %s", tls_directory);
    ck_assert_int_eq(system(command), 0);
}

/* `arg` is the protocol that the server knows, as in ALPN. */
static inline int tls_choose(SSL *ssl, const unsigned char **out, unsigned char *size,
                             const unsigned char *in, unsigned in_size, void *arg)
{
    const unsigned char *known = arg;

    (void)ssl;
    if (SSL_select_next_proto((unsigned char **)out, size, known, 1u + known[0], in, in_size) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    return SSL_TLSEXT_ERR_OK;
}

/* The server speaks TLS from the next connection on; `client` must show a certificate of "ca". */
static inline void tls_serve(struct peer_server *server, const char *name, const char *protocol,
                             bool client)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    char file[64];

    snprintf(file, sizeof(file), "%s.pem", name);
    ck_assert_int_eq(SSL_CTX_use_certificate_chain_file(context, tls_file(file)), 1);
    snprintf(file, sizeof(file), "%s.key", name);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(context, tls_file(file), SSL_FILETYPE_PEM), 1);
    SSL_CTX_set_alpn_select_cb(context, tls_choose, (void *)protocol);
    if (client) {
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        ck_assert_int_eq(SSL_CTX_load_verify_locations(context, tls_file("ca.pem"), NULL), 1);
    }
    SSL_CTX_free(server->tls);
    server->tls = context;
}
