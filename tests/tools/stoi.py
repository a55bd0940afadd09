#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Short-time objective intelligibility of recorded speech against the speech that was sent.

STOI: C. H. Taal, R. C. Hendriks, R. Heusdens, J. Jensen, "An Algorithm for Intelligibility Prediction of
Time-Frequency Weighted Noisy Speech", IEEE TASLP 19(7), 2011. Both signals at 10 kHz; frames of 256 samples, half
overlapping, those 40 dB under the loudest left out; 15 third-octave bands from 150 Hz; segments of 30 frames; the
degraded segment scaled and clipped at -15 dB; mean correlation. It is not a MOS: call it STOI.

usage: stoi.py SENT.wav HEARD.wav [--least 0.9]
The recording is aligned by cross-correlation, as a whole and then each half second (playout that adapts to the network
moves by a frame now and then; the ear does not mind, sample-wise comparison would). prints one JSON object: stoi,
delay_ms (of the recording against the sent file), shifts (how often the alignment moved), glitches (blocks of 20 ms
that are silent in the recording and loud in what was sent). Exit 1 when the value is below --least.
"""
import argparse
import json
import sys
import wave

import numpy as np

RATE = 10000
FRAME, HOP, FFT = 256, 128, 512
BANDS, FIRST_HZ = 15, 150.0
SEGMENT = 30
CLIP_DB = -15.0
QUIET_DB = 40.0


def read_wav(path):
    with wave.open(path, "rb") as f:
        if f.getnchannels() != 1 or f.getsampwidth() != 2:
            raise SystemExit(f"{path}: mono 16-bit PCM is needed")
        samples = np.frombuffer(f.readframes(f.getnframes()), dtype="<i2")
        return samples.astype(float) / 32768.0, f.getframerate()


def convolve(x, h):
    size = 1 << int(np.ceil(np.log2(len(x) + len(h) - 1)))
    return np.fft.irfft(np.fft.rfft(x, size) * np.fft.rfft(h, size), size)[: len(x) + len(h) - 1]


def resample(x, rate, to):
    """Rational resampling by a windowed sinc."""
    if rate == to:
        return x
    divisor = np.gcd(rate, to)
    up, down = to // divisor, rate // divisor
    widest = max(up, down)
    half = 16 * widest
    n = np.arange(-half, half + 1)
    h = np.sinc(n / widest) * np.kaiser(2 * half + 1, 8.0) * up / widest
    stretched = np.zeros(len(x) * up)
    stretched[::up] = x
    return convolve(stretched, h)[half : half + len(stretched) : down]


def align(sent, heard):
    """Return both from the first common sample on, and how many samples `heard` is late."""
    size = 1 << int(np.ceil(np.log2(len(sent) + len(heard))))
    cross = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(sent, size)), size)
    lag = int(np.argmax(cross))
    if lag > size // 2:
        lag -= size
    sent, heard = (sent, heard[lag:]) if lag >= 0 else (sent[-lag:], heard)
    n = min(len(sent), len(heard))
    return sent[:n], heard[:n], lag


def follow(sent, heard):
    """Undo what an adaptive playout did: shift each half second of `heard` to where it fits `sent` best (80 ms at most).

    Return the shifted signal and how often the shift changed by more than 5 ms.
    """
    block, around, reach = RATE // 2, RATE // 4, RATE * 2 // 25
    out, shift, changes = np.zeros(len(sent)), 0, 0
    padded = np.concatenate([np.zeros(reach), heard, np.zeros(reach + block)])
    loud = 0.02 * np.abs(sent).max()
    for at in range(0, len(sent), block):
        low, high = max(0, at - around), min(len(sent), at + block + around)
        piece = sent[low:high]
        if np.abs(piece).max() > loud:
            window = padded[low : high + 2 * reach]
            size = 1 << int(np.ceil(np.log2(len(window) + len(piece))))
            cross = np.fft.irfft(np.fft.rfft(window, size) * np.conj(np.fft.rfft(piece, size)), size)
            energy = np.concatenate([[0.0], np.cumsum(window**2)])
            n = len(piece)
            fits = cross[: 2 * reach + 1] / np.sqrt(energy[n : n + 2 * reach + 1] - energy[: 2 * reach + 1] + 1e-9)
            best = int(np.argmax(fits)) - reach
            if fits[shift + reach] > 0.9 * fits.max():
                best = shift  # no better reason to move
            if abs(best - shift) > RATE // 200:
                changes += 1
            shift = best
        end = min(len(sent), at + block)
        out[at:end] = padded[reach + at + shift : reach + end + shift]
    return out, changes


def frames(x):
    count = (len(x) - FRAME) // HOP + 1
    index = np.arange(FRAME)[None, :] + HOP * np.arange(max(count, 0))[:, None]
    return x[index]


def drop_quiet(x, y):
    window = np.hanning(FRAME + 2)[1:-1]
    fx, fy = frames(x) * window, frames(y) * window
    level = 20 * np.log10(np.linalg.norm(fx, axis=1) + 1e-12)
    keep = level > level.max() - QUIET_DB
    out = []
    for f in (fx[keep], fy[keep]):
        joined = np.zeros((len(f) - 1) * HOP + FRAME)
        for i, one in enumerate(f):
            joined[i * HOP : i * HOP + FRAME] += one
        out.append(joined)
    return out


def bands(x):
    spectrum = np.abs(np.fft.rfft(frames(x) * np.hanning(FRAME + 2)[1:-1], FFT, axis=1)) ** 2
    hz = np.fft.rfftfreq(FFT, 1.0 / RATE)
    rows = []
    for k in range(BANDS):
        centre = FIRST_HZ * 2 ** (k / 3)
        low = int(np.argmin(np.abs(hz - centre * 2 ** (-1 / 6))))
        high = int(np.argmin(np.abs(hz - centre * 2 ** (1 / 6))))
        rows.append(np.sqrt(spectrum[:, low:high].sum(axis=1)))
    return np.array(rows)


def stoi(sent, heard):
    """`sent` and `heard` at RATE and aligned."""
    x, y = drop_quiet(sent, heard)
    x, y = bands(x), bands(y)
    if x.shape[1] < SEGMENT:
        raise SystemExit("too little speech: 0.4 s are needed")
    total = []
    for at in range(SEGMENT, x.shape[1] + 1):
        a, b = x[:, at - SEGMENT : at], y[:, at - SEGMENT : at]
        scale = np.linalg.norm(a, axis=1, keepdims=True) / (np.linalg.norm(b, axis=1, keepdims=True) + 1e-12)
        b = np.minimum(b * scale, a * (1 + 10 ** (-CLIP_DB / 20)))
        a = a - a.mean(axis=1, keepdims=True)
        b = b - b.mean(axis=1, keepdims=True)
        total.append((a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1) + 1e-12))
    return float(np.mean(total))


def glitches(sent, heard):
    block = RATE // 50
    n = min(len(sent), len(heard)) // block
    a = np.sqrt((sent[: n * block].reshape(n, block) ** 2).mean(axis=1))
    b = np.sqrt((heard[: n * block].reshape(n, block) ** 2).mean(axis=1))
    return int(((a > 0.1 * a.max()) & (b < 0.001 * a.max())).sum())


def compare(sent_path, heard_path):
    sent, heard = (resample(*read_wav(p), RATE) for p in (sent_path, heard_path))
    if len(heard) < RATE or np.abs(heard).max() < 1e-4:
        return {"stoi": 0.0, "delay_ms": 0.0, "glitches": 0, "note": "the recording is silent"}
    sent, heard, lag = align(sent, heard)
    found = glitches(sent, heard)
    heard, shifts = follow(sent, heard)
    return {
        "stoi": round(stoi(sent, heard), 4),
        "delay_ms": round(1000.0 * lag / RATE, 2),
        "shifts": shifts,
        "glitches": found,
    }


def main():
    parser = argparse.ArgumentParser(description="STOI of a recording against what was sent")
    parser.add_argument("sent")
    parser.add_argument("heard")
    parser.add_argument("--least", type=float, default=0.0, help="exit 1 below this value")
    options = parser.parse_args()
    result = compare(options.sent, options.heard)
    print(json.dumps(result))
    return 0 if result["stoi"] >= options.least else 1


if __name__ == "__main__":
    sys.exit(main())
