#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A call with PulseAudio at one end: what is played into its microphone is heard at the other end, and what the other end
# says comes out of its loudspeaker. No sound hardware: null sinks of a PulseAudio server of our own.
# usage: call_pulse.sh BUILD_DIR
set -u
exec /usr/bin/python3 "$(dirname "$0")/call/pulse.py" "$(realpath "${1:?usage: call_pulse.sh BUILD_DIR}")"
