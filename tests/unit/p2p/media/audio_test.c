/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/media/audio.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/crypto/random.h"
#include "p2p/media/echo.h"
#include "p2p/media/wav.h"
#include "unit.h"

#define FRAME_US CHQ_VOICE_FRAME_US

static char directory[] = "/tmp/chq-audio-XXXXXX";

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static int remove_directory(void **state)
{
    (void)state;
    static const char *const names[] = {"in.wav", "out.wav"};
    for (size_t i = 0; i < 2; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        (void)unlink(path);
    }
    return rmdir(directory);
}

static const char *path_of(const char *name)
{
    static char paths[2][64];
    static int next;
    char *path = paths[next++ % 2];
    (void)snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static void write_wav(const char *path, uint32_t rate, uint32_t samples, int value)
{
    uint8_t header[CHQ_WAV_HEADER_BYTES];
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    chq_wav_header(header, rate, samples);
    assert_int_equal(fwrite(header, 1, sizeof header, f), sizeof header);
    for (uint32_t i = 0; i < samples; i++) {
        const uint8_t sample[2] = {(uint8_t)(value & 0xff), (uint8_t)(value >> 8)};
        assert_int_equal(fwrite(sample, 1, 2, f), 2);
    }
    assert_int_equal(fclose(f), 0);
}

static void wav_header_is_standard(void **state)
{
    (void)state;
    uint8_t bytes[CHQ_WAV_HEADER_BYTES + 4] = {0};
    struct chq_wav wav;
    chq_wav_header(bytes, 48000, 2);
    static const uint8_t expected[CHQ_WAV_HEADER_BYTES] = {'R', 'I', 'F', 'F', 40, 0, 0, 0, 'W', 'A', 'V',
        'E', 'f', 'm', 't', ' ', 16, 0, 0, 0, 1, 0, 1, 0, 0x80, 0xbb, 0, 0, 0, 0x77, 1, 0, 2, 0, 16, 0, 'd',
        'a', 't', 'a', 4, 0, 0, 0};
    assert_memory_equal(bytes, expected, sizeof expected);
    assert_int_equal(chq_wav_read(chq_bytes(bytes, sizeof bytes), &wav), CHQ_OK);
    assert_int_equal(wav.rate, 48000);
    assert_int_equal(wav.samples.size, 4);
}

static void refuses_bad_wav(void **state)
{
    (void)state;
    static const struct {
        int number;
        size_t at;
        uint8_t value;
        enum chq_err err;
    } bad[] = {
        {1, 0, 'r', CHQ_MALFORMED},
        {2, 8, 'w', CHQ_MALFORMED},
        {3, 12, 'F', CHQ_MALFORMED},
        {4, 16, 200, CHQ_MALFORMED},
        {5, 19, 0xff, CHQ_MALFORMED},
        {6, 20, 3, CHQ_UNSUPPORTED},
        {7, 22, 2, CHQ_UNSUPPORTED},
        {8, 34, 8, CHQ_UNSUPPORTED},
        {9, 25, 0, CHQ_UNSUPPORTED},
        {10, 26, 1, CHQ_UNSUPPORTED},
        {11, 36, 'D', CHQ_MALFORMED},
        {12, 32, 4, CHQ_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t bytes[CHQ_WAV_HEADER_BYTES + 4] = {0};
        struct chq_wav wav;
        chq_wav_header(bytes, 48000, 2);
        bytes[bad[i].at] = bad[i].value;
        if (chq_wav_read(chq_bytes(bytes, sizeof bytes), &wav) != bad[i].err)
            fail_msg("bad file %d", bad[i].number);
    }
    uint8_t bytes[CHQ_WAV_HEADER_BYTES + 5] = {0};
    struct chq_wav wav;
    chq_wav_header(bytes, 48000, 2000000000); /* the data chunk ends with the file, at a whole sample */
    assert_int_equal(chq_wav_read(chq_bytes(bytes, sizeof bytes), &wav), CHQ_OK);
    assert_int_equal(wav.samples.size, 4);
    for (size_t size = 0; size < 44; size++)
        assert_int_equal(chq_wav_read(chq_bytes(bytes, size), &wav), CHQ_MALFORMED);
}

/* A frame every 20 ms of the clock that is given; silence after the end; other rates are converted. */
static void file_speaks_in_real_time(void **state)
{
    (void)state;
    const struct chq_audio_device *d = chq_audio_device(CHQ_AUDIO_FILE);
    write_wav(path_of("in.wav"), 24000, 1200, 1000); /* 50 ms */
    const struct chq_audio_config config = {.kind = CHQ_AUDIO_FILE, .capture = path_of("in.wav")};
    struct chq_audio *a = NULL;
    int16_t pcm[CHQ_VOICE_FRAME_SAMPLES];
    assert_int_equal(d->open(&config, 0, &a), CHQ_OK);
    assert_int_equal(d->read(a, 1000, pcm), CHQ_AGAIN);
    assert_int_equal(d->read(a, 1000 + FRAME_US - 1, pcm), CHQ_AGAIN);
    unsigned loud = 0;
    for (uint64_t i = 1; i <= 5; i++) {
        assert_int_equal(d->read(a, 1000 + i * FRAME_US, pcm), CHQ_OK);
        assert_int_equal(d->read(a, 1000 + i * FRAME_US, pcm), CHQ_AGAIN);
        for (int k = 0; k < CHQ_VOICE_FRAME_SAMPLES; k++)
            loud += pcm[k] > 500;
    }
    assert_in_range(loud, 2350, 2450); /* 50 ms at 48 kHz */
    /* Held up for a second: it speaks on from here, and does not deliver 50 frames at once. */
    unsigned burst = 0;
    while (d->read(a, 1000 + 55 * FRAME_US, pcm) == CHQ_OK)
        burst++;
    assert_int_equal(burst, 1);
    d->close(a);
}

static void file_records_what_a_listener_hears(void **state)
{
    (void)state;
    const struct chq_audio_device *d = chq_audio_device(CHQ_AUDIO_FILE);
    const struct chq_audio_config config = {.kind = CHQ_AUDIO_FILE, .playback = path_of("out.wav")};
    struct chq_audio *a = NULL;
    int16_t pcm[CHQ_VOICE_FRAME_SAMPLES];
    for (int i = 0; i < CHQ_VOICE_FRAME_SAMPLES; i++)
        pcm[i] = 77;
    assert_int_equal(d->open(&config, 0, &a), CHQ_OK);
    assert_int_equal(d->latency(a, 5), 0);
    assert_int_equal(d->write(a, 1000, pcm), CHQ_OK);
    assert_int_equal(d->write(a, 1000, pcm), CHQ_OK);
    assert_int_equal(d->latency(a, 1000), 2 * FRAME_US);
    assert_int_equal(d->latency(a, 1000 + FRAME_US / 2), 3 * FRAME_US / 2);
    assert_int_equal(d->write(a, 1000 + 5 * FRAME_US, pcm), CHQ_OK); /* three frames too late: silence */
    d->close(a);
    FILE *f = fopen(path_of("out.wav"), "rb");
    static uint8_t bytes[CHQ_WAV_HEADER_BYTES + 20 * CHQ_VOICE_FRAME_SAMPLES];
    assert_non_null(f);
    const size_t size = fread(bytes, 1, sizeof bytes, f);
    assert_int_equal(fclose(f), 0);
    struct chq_wav wav;
    assert_int_equal(chq_wav_read(chq_bytes(bytes, size), &wav), CHQ_OK);
    assert_int_equal(wav.samples.size, 6 * CHQ_VOICE_FRAME_SAMPLES * 2);
    static const uint8_t expected[6] = {77, 77, 0, 0, 0, 77};
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(wav.samples.data[i * CHQ_VOICE_FRAME_SAMPLES * 2], expected[i]);
}

static void says_what_is_wrong_with_a_file(void **state)
{
    (void)state;
    const struct chq_audio_device *d = chq_audio_device(CHQ_AUDIO_FILE);
    struct chq_audio *a = NULL;
    struct chq_audio_config config = {.kind = CHQ_AUDIO_FILE, .capture = "/nonexistent/in.wav"};
    assert_int_equal(d->open(&config, 0, &a), CHQ_IO);
    config.capture = "/dev/null";
    assert_int_equal(d->open(&config, 0, &a), CHQ_MALFORMED);
    config = (struct chq_audio_config){.kind = CHQ_AUDIO_FILE, .playback = "/nonexistent/out.wav"};
    assert_int_equal(d->open(&config, 0, &a), CHQ_IO);
    assert_null(a);
}

/* A loudspeaker 15 ms from the microphone at a quarter of its level: after some seconds most of it is gone. */
static void echo_goes_away(void **state)
{
    (void)state;
    enum { DELAY = 720, SECONDS = 6, TOTAL = SECONDS * CHQ_VOICE_RATE };
    static int16_t far[TOTAL];
    struct chq_seeded seeded;
    chq_seeded_init(&seeded, 3);
    const struct chq_random random = chq_seeded_random(&seeded);
    double slow = 0;
    for (int i = 0; i < TOTAL; i++) { /* noise in syllables, low-passed like speech */
        const double noise = (double)chq_random_below(&random, 20001) - 10000;
        slow += 0.3 * (noise - slow);
        far[i] = (int16_t)(slow * (0.5 + 0.5 * sin(i * 6.2831853 * 3 / CHQ_VOICE_RATE)));
    }
    struct chq_echo *echo = NULL;
    assert_int_equal(chq_echo_new(&echo), CHQ_OK);
    double in = 0, out = 0;
    for (int at = 0; at < TOTAL; at += CHQ_VOICE_FRAME_SAMPLES) {
        int16_t near[CHQ_VOICE_FRAME_SAMPLES];
        for (int i = 0; i < CHQ_VOICE_FRAME_SAMPLES; i++)
            near[i] = (int16_t)(at + i >= DELAY ? far[at + i - DELAY] / 4 : 0);
        if (at > TOTAL * 3 / 4)
            for (int i = 0; i < CHQ_VOICE_FRAME_SAMPLES; i++)
                in += (double)near[i] * near[i];
        chq_echo_played(echo, far + at);
        chq_echo_captured(echo, near);
        if (at > TOTAL * 3 / 4)
            for (int i = 0; i < CHQ_VOICE_FRAME_SAMPLES; i++)
                out += (double)near[i] * near[i];
    }
    chq_echo_free(echo);
    const double reduction_db = 10 * log10(in / (out + 1));
    print_message("echo reduced by %.1f dB\n", reduction_db);
    assert_true(reduction_db > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wav_header_is_standard),
        cmocka_unit_test(refuses_bad_wav),
        cmocka_unit_test(file_speaks_in_real_time),
        cmocka_unit_test(file_records_what_a_listener_hears),
        cmocka_unit_test(says_what_is_wrong_with_a_file),
        cmocka_unit_test(echo_goes_away),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
