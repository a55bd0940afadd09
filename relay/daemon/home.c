/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/daemon/home.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/text.h"
#include "core/crypto/hash.h"
#include "core/crypto/system.h"

#define CERTIFICATE_DAYS 3650

void chq_relay_home_path(char out[CHQ_HOME_PATH_BYTES], const char *dir, const char *name)
{
    int n = snprintf(out, CHQ_HOME_PATH_BYTES, "%s/%s", dir, name);
    if (n < 0 || n >= CHQ_HOME_PATH_BYTES)
        out[0] = 0;
}

/* Read a whole small file; NULL and errno, or EFBIG above `max`. */
static char *read_file(const char *path, size_t max, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    char *text = fd < 0 ? NULL : calloc(1, max + 2);
    size_t n = 0;
    ssize_t got = 0;
    while (text != NULL && n <= max && (got = read(fd, text + n, max + 1 - n)) > 0)
        n += (size_t)got;
    int why = fd < 0 || got < 0 ? errno : n > max ? EFBIG : 0;
    if (fd >= 0)
        close(fd);
    if (why != 0 || text == NULL) {
        free(text);
        errno = why != 0 ? why : ENOMEM;
        return NULL;
    }
    *size = n;
    return text;
}

/* Write a new file that only we can read, to the disk. */
static enum chq_err write_file(const char *path, struct chq_bytes text, const struct chq_log *log)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool fine = fd >= 0;
    for (size_t at = 0; fine && at < text.size;) {
        ssize_t n = write(fd, text.data + at, text.size - at);
        fine = n > 0;
        at += fine ? (size_t)n : 0;
    }
    fine = fine && fsync(fd) == 0;
    if (!fine)
        chq_logf(log, CHQ_LOG_ERROR, "cannot write %s: %s", path, strerror(errno));
    if (fd >= 0 && close(fd) != 0)
        fine = false;
    return fine ? CHQ_OK : CHQ_IO;
}

static enum chq_err check_private(const char *path, const struct chq_log *log)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        chq_logf(log, CHQ_LOG_ERROR, "cannot read %s: %s", path, strerror(errno));
        return CHQ_IO;
    }
    if ((st.st_mode & 077) == 0)
        return CHQ_OK;
    chq_logf(log, CHQ_LOG_ERROR, "%s can be read or written by others (mode %03o); run: chmod 600 %s", path,
        (unsigned)st.st_mode & 0777, path);
    return CHQ_AUTH;
}

static enum chq_err read_config(struct chq_relay_home *home, const struct chq_log *log)
{
    char path[CHQ_HOME_PATH_BYTES], error[CHQ_CONFIG_ERROR_BYTES];
    size_t size;
    chq_relay_home_path(path, home->dir, "relay.conf");
    char *text = read_file(path, CHQ_CONFIG_BYTES_MAX, &size);
    if (text == NULL) {
        chq_logf(log, CHQ_LOG_ERROR, "cannot read %s: %s%s", path, strerror(errno),
            errno == ENOENT ? "; make a relay with: chasqui-relay init --dir DIR" : "");
        return errno == ENOENT ? CHQ_NOT_FOUND : CHQ_IO;
    }
    enum chq_err err = chq_relay_config_read(&home->config, chq_bytes(text, size), error);
    free(text);
    if (err != CHQ_OK)
        chq_logf(log, CHQ_LOG_ERROR, "%s: %s", path, error);
    return err;
}

static enum chq_err read_account(struct chq_relay_home *home, const struct chq_log *log)
{
    char path[CHQ_HOME_PATH_BYTES];
    uint8_t entropy[CHQ_RECOVERY_ENTROPY_BYTES];
    unsigned wrong_word;
    size_t size;
    chq_relay_home_path(path, home->dir, "account.key");
    CHQ_TRY(check_private(path, log));
    char *words = read_file(path, 1024, &size);
    if (words == NULL) {
        chq_logf(log, CHQ_LOG_ERROR, "cannot read %s: %s", path, strerror(errno));
        return CHQ_IO;
    }
    enum chq_err err = chq_recovery_read(entropy, words, &wrong_word);
    chq_wipe(words, size);
    free(words);
    if (err != CHQ_OK) {
        chq_logf(log, CHQ_LOG_ERROR, "%s is not a recovery phrase of 24 words", path);
        return CHQ_MALFORMED;
    }
    home->account = chq_secret_new(sizeof *home->account);
    if (home->account != NULL)
        chq_account_from_entropy(home->account, entropy);
    chq_wipe(entropy, sizeof entropy);
    return home->account == NULL ? CHQ_NO_MEMORY : CHQ_OK;
}

static bool pin_of(EVP_PKEY *key, uint8_t pin[32])
{
    unsigned char *spki = NULL;
    int size = i2d_PUBKEY(key, &spki);
    if (size > 0)
        chq_sha256(pin, chq_bytes(spki, (size_t)size));
    OPENSSL_free(spki);
    return size > 0;
}

static enum chq_err read_pin(struct chq_relay_home *home, const struct chq_log *log)
{
    char path[CHQ_HOME_PATH_BYTES];
    chq_relay_home_path(path, home->dir, "tls.key");
    CHQ_TRY(check_private(path, log));
    FILE *file = fopen(path, "re");
    EVP_PKEY *key = file == NULL ? NULL : PEM_read_PrivateKey(file, NULL, NULL, NULL);
    if (file != NULL)
        fclose(file);
    bool fine = key != NULL && pin_of(key, home->pin);
    EVP_PKEY_free(key);
    if (!fine)
        chq_logf(log, CHQ_LOG_ERROR, "%s is not a private key in PEM form", path);
    return fine ? CHQ_OK : CHQ_MALFORMED;
}

static enum chq_err check_dir(struct chq_relay_home *home, const char *dir, const struct chq_log *log)
{
    struct stat st;
    if (strlen(dir) + 32 > CHQ_HOME_PATH_BYTES) {
        chq_logf(log, CHQ_LOG_ERROR, "the directory's path is too long");
        return CHQ_LIMIT;
    }
    snprintf(home->dir, sizeof home->dir, "%s", dir);
    if (stat(dir, &st) != 0) {
        chq_logf(log, CHQ_LOG_ERROR, "%s: %s%s", dir, strerror(errno),
            errno == ENOENT ? "; make a relay with: chasqui-relay init --dir DIR" : "");
        return errno == ENOENT ? CHQ_NOT_FOUND : CHQ_IO;
    }
    if (!S_ISDIR(st.st_mode)) {
        chq_logf(log, CHQ_LOG_ERROR, "%s is not a directory", dir);
        return CHQ_NOT_FOUND;
    }
    return CHQ_OK;
}

enum chq_err chq_relay_home_open(struct chq_relay_home *home, const char *dir, const struct chq_log *log)
{
    memset(home, 0, sizeof *home);
    enum chq_err err = check_dir(home, dir, log);
    if (err == CHQ_OK)
        err = read_config(home, log);
    if (err == CHQ_OK)
        err = read_account(home, log);
    if (err == CHQ_OK)
        err = read_pin(home, log);
    if (err != CHQ_OK)
        chq_relay_home_close(home);
    return err;
}

void chq_relay_home_close(struct chq_relay_home *home)
{
    if (home->account != NULL)
        chq_account_fini(home->account);
    chq_secret_free(home->account);
    home->account = NULL;
}

/* A self-signed certificate around the key: clients look at the key alone. */
static bool make_certificate(EVP_PKEY *key, X509 *certificate)
{
    X509_NAME *name = X509_get_subject_name(certificate);
    return X509_set_version(certificate, 2) == 1 &&
           ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(certificate), -86400) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(certificate), CERTIFICATE_DAYS * 86400L) != NULL &&
           X509_set_pubkey(certificate, key) == 1 &&
           X509_NAME_add_entry_by_txt(
               name, "CN", MBSTRING_ASC, (const unsigned char *)"chasqui relay", -1, -1, 0) == 1 &&
           X509_set_issuer_name(certificate, name) == 1 && X509_sign(certificate, key, EVP_sha256()) > 0;
}

static enum chq_err write_pem(BIO *pem, const char *path, const struct chq_log *log)
{
    char *text;
    long size = BIO_get_mem_data(pem, &text);
    return size > 0 ? write_file(path, chq_bytes(text, (size_t)size), log) : CHQ_IO;
}

static enum chq_err create_tls(const char *dir, const struct chq_log *log)
{
    char path[CHQ_HOME_PATH_BYTES];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    BIO *key_pem = BIO_new(BIO_s_mem()), *certificate_pem = BIO_new(BIO_s_mem());
    enum chq_err err = CHQ_IO;
    if (key == NULL || certificate == NULL || key_pem == NULL || certificate_pem == NULL ||
        !make_certificate(key, certificate) ||
        PEM_write_bio_PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL) != 1 ||
        PEM_write_bio_X509(certificate_pem, certificate) != 1) {
        chq_logf(log, CHQ_LOG_ERROR, "cannot make a TLS key");
        goto out;
    }
    chq_relay_home_path(path, dir, "tls.key");
    err = write_pem(key_pem, path, log);
    chq_relay_home_path(path, dir, "tls.crt");
    if (err == CHQ_OK)
        err = write_pem(certificate_pem, path, log);
out:
    EVP_PKEY_free(key);
    X509_free(certificate);
    BIO_free(key_pem);
    BIO_free(certificate_pem);
    return err;
}

static enum chq_err create_account(const char *dir, const struct chq_log *log)
{
    char path[CHQ_HOME_PATH_BYTES], words[CHQ_RECOVERY_TEXT_BYTES + 1];
    uint8_t entropy[CHQ_RECOVERY_ENTROPY_BYTES];
    struct chq_random random = chq_system_random();
    chq_random_fill(&random, entropy, sizeof entropy);
    chq_recovery_write(words, entropy);
    size_t size = strlen(words);
    words[size++] = '\n';
    chq_relay_home_path(path, dir, "account.key");
    enum chq_err err = write_file(path, chq_bytes(words, size), log);
    chq_wipe(entropy, sizeof entropy);
    chq_wipe(words, sizeof words);
    return err;
}

enum chq_err chq_relay_home_create(
    const char *dir, const struct chq_relay_config *config, const struct chq_log *log)
{
    struct chq_relay_home home = {0};
    char path[CHQ_HOME_PATH_BYTES];
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        chq_logf(log, CHQ_LOG_ERROR, "cannot make %s: %s", dir, strerror(errno));
        return CHQ_IO;
    }
    CHQ_TRY(check_dir(&home, dir, log));
    chq_relay_home_path(path, dir, "relay.conf");
    if (access(path, F_OK) == 0) {
        chq_logf(log, CHQ_LOG_ERROR,
            "%s is there already: this directory has a relay; edit it, or take another --dir", path);
        return CHQ_EXISTS;
    }
    struct chq_writer w = chq_writer_heap(CHQ_CONFIG_BYTES_MAX);
    chq_relay_config_write(&w, config);
    enum chq_err err = chq_writer_finish(&w);
    if (err == CHQ_OK)
        err = create_account(dir, log);
    if (err == CHQ_OK)
        err = create_tls(dir, log);
    if (err == CHQ_OK) /* last: a directory with relay.conf is a whole one */
        err = write_file(path, chq_writer_bytes(&w), log);
    chq_writer_free(&w);
    return err;
}
