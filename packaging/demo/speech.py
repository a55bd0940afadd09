# SPDX-License-Identifier: Apache-2.0
"""Speech for the demo: espeak-ng's voice as 48 kHz mono 16 bit WAV."""
import os
import subprocess
import wave

import numpy
import stoi


def say(text, path, voice="en", speed=150):
    """Write `text` as speech; return its seconds."""
    raw = path + ".espeak"
    subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-w", raw, text], check=True, timeout=30)
    samples, rate = stoi.read_wav(raw)
    count = len(samples) * 48000 // rate
    samples = numpy.fft.irfft(numpy.fft.rfft(samples), count)  # whole file at once: exact enough, and fast
    samples = samples * (20000 / max(1e-9, numpy.abs(samples).max()))
    with wave.open(path, "wb") as f:
        f.setnchannels(1)
        f.setsampwidth(2)
        f.setframerate(48000)
        f.writeframes(samples.astype("<i2").tobytes())
    os.unlink(raw)
    return len(samples) / 48000
