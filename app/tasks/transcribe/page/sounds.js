// Samples of 16 bits, one channel: of a file, and of the microphone.

import { Problem } from "../../js/client.js";

const toInteger = (value) => Math.max(-32768, Math.min(32767, Math.round(value * 32768)));

/** All samples of a file that the browser can decode. */
export async function fileSamples(file, rate) {
  const context = new OfflineAudioContext(1, 1, rate);
  let sound;
  try {
    sound = await context.decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new Problem({ title: "The file cannot be read", detail: `${file.name} is no sound that this browser decodes.` });
  }
  const channels = Array.from({ length: sound.numberOfChannels }, (_, at) => sound.getChannelData(at));
  return Int16Array.from({ length: sound.length }, (_, at) =>
    toInteger(channels.reduce((sum, one) => sum + one[at], 0) / channels.length));
}

/** The microphone in pieces of so many samples, until ``stop`` is called. */
export async function microphone(rate, size) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } }).catch((problem) => {
    throw new Problem({ title: "The microphone cannot be used", detail: problem.message });
  });
  const context = new AudioContext({ sampleRate: rate });
  await context.audioWorklet.addModule(new URL("./recorder.js", import.meta.url));
  const node = new AudioWorkletNode(context, "recorder");
  context.createMediaStreamSource(stream).connect(node);
  const held = [];
  let waiting = null;
  let ended = false;
  let part = new Int16Array(size);
  let filled = 0;
  const wake = () => {
    waiting?.();
    waiting = null;
  };
  node.port.onmessage = ({ data }) => {
    for (const value of data) {
      part[filled] = toInteger(value);
      filled += 1;
      if (filled < size) continue;
      held.push(part);
      part = new Int16Array(size);
      filled = 0;
    }
    wake();
  };
  return {
    stop() {
      ended = true;
      stream.getTracks().forEach((track) => track.stop());
      context.close();
      wake();
    },
    async *[Symbol.asyncIterator]() {
      while (held.length || !ended) {
        if (held.length) yield held.shift();
        else await new Promise((resolve) => { waiting = resolve; });
      }
      if (filled) yield part.subarray(0, filled);
    },
  };
}
