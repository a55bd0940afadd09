# SPDX-License-Identifier: Apache-2.0
"""Speech for the demo: espeak-ng's voice as 48 kHz mono 16 bit WAV."""
import subprocess
import wave
from fractions import Fraction

import numpy
from scipy.signal import resample_poly


def say(text, path, voice="en", speed=150):
    """Write `text` as speech; return its seconds."""
    raw = path + ".espeak"
    subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-w", raw, text], check=True, timeout=30)
    with wave.open(raw) as f:
        rate = f.getframerate()
        samples = numpy.frombuffer(f.readframes(f.getnframes()), dtype="<i2").astype(float)
    ratio = Fraction(48000, rate)
    samples = resample_poly(samples, ratio.numerator, ratio.denominator)
    samples *= 20000 / max(1.0, numpy.abs(samples).max())
    with wave.open(path, "wb") as f:
        f.setnchannels(1)
        f.setsampwidth(2)
        f.setframerate(48000)
        f.writeframes(samples.astype("<i2").tobytes())
    subprocess.run(["rm", "-f", raw], check=False)
    return len(samples) / 48000
