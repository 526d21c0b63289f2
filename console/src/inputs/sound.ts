import { bytes, count, duration } from "../formats/formats";
import { inputTexts } from "../strings/inputs";
import { UnreadableNumbers } from "./table-text";
import { MAX_NUMBERS, sixDigits, type Tensor } from "./tensor";

/** Samples a second that models usually expect. */
export const RATES = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000] as const;
export const DEFAULT_RATE = 16_000;
/** A file is decoded as a whole, whatever it expands to. */
const MAX_FILE_BYTES = 10 * 1024 * 1024;
/** A shorter last dimension is no second of sound, however slow. */
const MIN_SAMPLES = 4_000;

/** Whether a tensor may hold the samples of one sound: real numbers in one long dimension. */
export function isSound({ datatype, shape }: Tensor): boolean {
  const samples = shape?.at(-1);
  if (samples === undefined || !/^(FP|BF)/.test(datatype ?? "")) return false;
  const isLong = samples < 0 || samples >= MIN_SAMPLES;
  return isLong && (shape ?? []).slice(0, -1).every((size) => size < 0 || size === 1);
}

/**
 * Return the samples of a sound file, as one channel at a rate.
 *
 * A tensor of a fixed length gets the beginning, or silence after the end. Rejects with UnreadableNumbers.
 */
export async function readSound(file: File, rate: number, { shape }: Tensor): Promise<number[]> {
  if (file.size > MAX_FILE_BYTES)
    throw new UnreadableNumbers(inputTexts.sound.tooLarge(bytes(file.size), bytes(MAX_FILE_BYTES)));
  const context = new OfflineAudioContext(1, 1, rate); // decodes to its own rate
  const decoded = await context.decodeAudioData(await file.arrayBuffer()).catch(() => {
    throw new UnreadableNumbers(inputTexts.sound.unreadable(file.name));
  });
  const wanted = shape?.at(-1) ?? -1;
  const length = wanted < 0 ? decoded.length : wanted;
  if (length > MAX_NUMBERS)
    throw new UnreadableNumbers(
      inputTexts.sound.tooLong(duration(length / rate), count(length), count(MAX_NUMBERS)),
    );
  const channels = Array.from({ length: decoded.numberOfChannels }, (_, at) => decoded.getChannelData(at));
  return mono(channels, length);
}

/** Return so many samples of the mean of all channels. */
export function mono(channels: readonly Float32Array[], length: number): number[] {
  const share = 1 / channels.length;
  return Array.from({ length }, (_, at) =>
    sixDigits(channels.reduce((sum, samples) => sum + (samples[at] ?? 0) * share, 0)),
  );
}
