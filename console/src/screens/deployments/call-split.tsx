import { duration } from "../../formats/formats";
import { timingParts } from "../../formats/server-timing";
import { codeTexts } from "../../strings/code";
import { CopyButton } from "../../ui/copy";
import styles from "./call-split.module.css";

interface CallSplitProps {
  /** The header Server-Timing of the answer. */
  serverTiming: string;
  /** From sending to the answer by the clock of who called; what the gateway's total leaves of it is the network. */
  seconds?: number;
}

/** Where the time of a call went: a bar, and the time of each part. */
export function CallSplit({ serverTiming, seconds }: CallSplitProps) {
  const { parts, total } = timingParts(serverTiming);
  if (!parts.length) return null;
  const outside = seconds === undefined || total === null ? 0 : seconds * 1000 - total;
  const shown = outside > 0 ? [{ name: "net", milliseconds: outside }, ...parts] : parts;
  return (
    <div className={styles.split}>
      <div className={styles.bar} aria-hidden>
        {shown.map(({ name, milliseconds }) => (
          <span key={name} data-other={name === "other" || undefined} style={{ flexGrow: milliseconds }} />
        ))}
      </div>
      <dl className={styles.parts} aria-label={codeTexts.calls.split}>
        {shown.map(({ name, milliseconds }) => (
          <div key={name} data-other={name === "other" || undefined}>
            <dt>{stageOf(name)}</dt>
            <dd>{duration(milliseconds / 1000)}</dd>
          </div>
        ))}
      </dl>
      <div>
        <CopyButton
          label={codeTexts.calls.copySplit}
          text={shown
            .map(({ name, milliseconds }) => `${stageOf(name)}: ${milliseconds.toFixed(3)} ms`)
            .join("\n")}
        />
      </div>
    </div>
  );
}

function stageOf(name: string): string {
  return codeTexts.calls.stages[name] ?? name;
}
