/* SPDX-License-Identifier: Apache-2.0 */
#include "client/sdk/error.h"

const char *chq_error_text(enum chq_error error)
{
    switch (error) {
    case CHQ_ERROR_NONE: return "no error";
    case CHQ_ERROR_ARGUMENT: return "that is not possible like this";
    case CHQ_ERROR_NO_PROFILE: return "there is no profile there; make one with 'chasqui init'";
    case CHQ_ERROR_PROFILE_EXISTS: return "there is a profile there already";
    case CHQ_ERROR_PROFILE_IN_USE: return "the profile is in use by another program; close that first";
    case CHQ_ERROR_PASSPHRASE: return "wrong passphrase";
    case CHQ_ERROR_PROFILE_FOREIGN: return "that is not a profile of Chasqui";
    case CHQ_ERROR_PROFILE_NEWER: return "the profile was written by a newer version; install that";
    case CHQ_ERROR_PROFILE_DAMAGED:
        return "the profile is damaged; put back a copy, or restore the account from its 24 words";
    case CHQ_ERROR_DISK_FULL: return "the disk is full; make room and try again, nothing was lost";
    case CHQ_ERROR_DISK: return "the profile cannot be read or written";
    case CHQ_ERROR_KEYRING: return "the keyring cannot be used; give a passphrase instead";
    case CHQ_ERROR_INVITATION:
        return "that is not an invitation link; ask the relay's operator for one, it begins with 'chasqui:'";
    case CHQ_ERROR_HANDLE:
        return "a handle has 2 to 32 characters a-z 0-9 - _ . , starts with a letter, ends with a letter or "
               "digit, "
               "and has no two marks in a row";
    case CHQ_ERROR_HANDLE_TAKEN: return "that handle is taken; choose another";
    case CHQ_ERROR_NOT_FOUND: return "there is no such contact, message or call";
    case CHQ_ERROR_TOO_LONG: return "the message is longer than 12288 bytes; send it in parts";
    case CHQ_ERROR_NOT_TEXT: return "a message is UTF-8 text and not empty";
    case CHQ_ERROR_RELAY: return "the relay cannot be reached; what waits is kept and sent later";
    case CHQ_ERROR_CREDIT:
        return "not enough credit; ask for some, or wait for a channel to give its rest back";
    case CHQ_ERROR_DECEIVED:
        return "somebody showed something that the ledger does not prove; it was refused";
    case CHQ_ERROR_BUSY: return "a call is going on; end it first";
    case CHQ_ERROR_SOUND: return "the sound device or file cannot be used";
    case CHQ_ERROR_CLOSED: return "the client has stopped; close it and open it again";
    case CHQ_ERROR_MEMORY: return "out of memory";
    case CHQ_ERROR_FAILED: return "it did not work";
    default: return "unknown error";
    }
}

enum chq_error chq_error_of_store(const struct chq_store_fault *fault)
{
    switch (fault->why) {
    case CHQ_STORE_FINE: return CHQ_ERROR_NONE;
    case CHQ_STORE_MISSING: return CHQ_ERROR_NO_PROFILE;
    case CHQ_STORE_THERE: return CHQ_ERROR_PROFILE_EXISTS;
    case CHQ_STORE_IN_USE: return CHQ_ERROR_PROFILE_IN_USE;
    case CHQ_STORE_WRONG_SECRET:
    case CHQ_STORE_OTHER_SECRET: return CHQ_ERROR_PASSPHRASE;
    case CHQ_STORE_FOREIGN: return CHQ_ERROR_PROFILE_FOREIGN;
    case CHQ_STORE_NEWER: return CHQ_ERROR_PROFILE_NEWER;
    case CHQ_STORE_DAMAGED: return CHQ_ERROR_PROFILE_DAMAGED;
    case CHQ_STORE_FULL: return CHQ_ERROR_DISK_FULL;
    case CHQ_STORE_READ_ONLY:
    case CHQ_STORE_FAILED:
    default: return CHQ_ERROR_DISK;
    }
}

enum chq_error chq_error_of_notice(enum chq_err err, bool creating)
{
    switch (err) {
    case CHQ_OK: return CHQ_ERROR_NONE;
    case CHQ_EXISTS: return creating ? CHQ_ERROR_HANDLE_TAKEN : CHQ_ERROR_FAILED;
    case CHQ_MALFORMED: return creating ? CHQ_ERROR_HANDLE : CHQ_ERROR_ARGUMENT;
    case CHQ_NOT_FOUND: return CHQ_ERROR_NOT_FOUND;
    case CHQ_PAYMENT: return CHQ_ERROR_CREDIT;
    case CHQ_AUTH: return CHQ_ERROR_DECEIVED;
    case CHQ_AGAIN:
    case CHQ_EXPIRED:
    case CHQ_IO: return CHQ_ERROR_RELAY;
    case CHQ_NO_MEMORY: return CHQ_ERROR_MEMORY;
    case CHQ_LIMIT:
    case CHQ_STATE:
    case CHQ_UNSUPPORTED:
    default: return CHQ_ERROR_FAILED;
    }
}
